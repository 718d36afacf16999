"""What agents are shown: tables, figures and texts made of one snapshot."""
