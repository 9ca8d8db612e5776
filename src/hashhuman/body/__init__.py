"""The body: template, pose, parts, and the body models that make templates."""
