"""The viewer: an avatar in the browser, to turn, pose and play, as a mesh while it moves and as the field when still"""
