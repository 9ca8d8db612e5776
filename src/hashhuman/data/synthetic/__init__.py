"""A small scene with exact ground truth, which the project renders itself with nothing but numpy.

The body is a mannequin: each joint of SMPL's skeleton moves some capsules (cylinders with round ends) rigidly. The
intersection of a ray and a capsule has a closed form, so that pictures, masks and part labels are exact, and the body's
mesh lies on the surface that the pictures show. Lengths are in metres; y is up, the mannequin faces +z, its left is +x.
"""

from hashhuman.data.synthetic.scene import SyntheticScene

__all__ = ["SyntheticScene"]
