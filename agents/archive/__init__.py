"""What a search keeps and decides by: members, races, rewards, credit, aims."""
