"""What we decide: pure and synchronous; ``now`` comes in with the evidence."""
