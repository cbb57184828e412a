"""Prompts for use elsewhere: in a program of the user's, and in other tools."""
