"""Stage two: train a student on text beside an aligner that reads a teacher's cached words."""
