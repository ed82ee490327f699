"""The contract between the two stages: what an example is, what a shard holds, what a run reports.

Nothing here imports torch or click, so either stage, or a third party, can read a cache lightly.
"""
