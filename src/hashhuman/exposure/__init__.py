"""How bright the camera took each training picture, and in which tint: the same for all, or learned with the avatar."""
