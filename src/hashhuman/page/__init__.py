"""What the HTML pages of this project share: their frame, their style, tables and charts."""
