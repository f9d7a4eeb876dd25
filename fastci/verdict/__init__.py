"""What a run means for the build: coverage, accepted findings, comparison, joined shards, the gate."""
