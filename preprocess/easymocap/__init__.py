"""EasyMocap (github.com/zju3dv/EasyMocap): a reader of its folders, and a runner of the user's own copy."""
