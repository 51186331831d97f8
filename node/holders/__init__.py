"""From a mod id to links with its holders."""
