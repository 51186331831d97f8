"""Decoders and whole nodes, fed with bytes that no honest peer sends.

decoders     every reader of bytes that come from outside, with honest inputs to start from
node         one real node, and an attacker whose datagrams the fuzzer writes
corruption   real nodes whose real traffic is damaged on its way
"""
