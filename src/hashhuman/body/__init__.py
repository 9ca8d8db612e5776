"""The body: rest template, skinning, and the models that make templates."""
