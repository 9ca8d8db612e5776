"""The avatar: combines body, deformer, field and renderer, and renders rays and pictures in any pose."""
