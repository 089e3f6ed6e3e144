"""Coverage-guided fuzzing of what a hostile server reaches first."""
