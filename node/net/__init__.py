"""The node's UDP ports: opened, told apart, filtered, and read and written in bursts."""
