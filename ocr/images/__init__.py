"""Image files: where the bytes come from, which format they have, and their pixels as RGB."""
