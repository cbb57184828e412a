"""Code that exports carry with them: it needs nothing but Python 3.9, and nothing of ours."""
