"""The avatar: body, deformer, field and renderer put together; it renders rays and pictures in any pose."""
