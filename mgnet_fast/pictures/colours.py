"""The colours of all pictures."""

RIGHT = "#12a150"
WRONG = "#e5382b"
INK = "#1c2430"
MUTED = "#6b7684"
FRAME = "#c9d0d8"
UNKNOWN = "#2f6fd0"
