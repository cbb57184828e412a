"""What is remembered: experiences, the run journal, the reply cache."""
