"""Analyses of finished runs, one file each; `python -m distill.analyses --help` asks them about two runs."""
