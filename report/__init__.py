"""Parts that several reports share: page templates, style and plots."""
