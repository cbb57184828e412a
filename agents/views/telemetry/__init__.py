"""What a run tells other programs: its log, and OpenTelemetry spans."""
