"""Stage one: ask a frozen teacher once, and keep all that it said in a teacher cache."""
