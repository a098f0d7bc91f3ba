"""What a run looks like from outside: terminal tables, JSON, scope_stats.jsonl, trace, HTML and the run directory.

Reads the data of `program` and `ascend_model`; runs nothing. May import program, numerics and ascend_model.
"""
