"""What a search will take and what it could gain, told before it is paid for."""
