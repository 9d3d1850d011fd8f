"""Where bytes come from and what they are packed in. Nothing here knows what a row means."""
