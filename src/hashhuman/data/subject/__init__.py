"""The subject folder: all its files with shapes, units and axes; its only reader and its only writer.

The layout is ZJU-MoCap's, as instant-nvr extended it. J joints and V vertices may be any number; metres and radians:

    annots.npy                    {cams: {K, D, R, T}, ims: [{ims: [each camera's path]} of each frame]}; T in mm
    images/CC/FFFFFF.*            pictures as filmed, with the lens's distortion
    mask/CC/FFFFFF.png            8-bit coverage (or mask_cihp/, labels)
    mask_refined/CC/FFFFFF.png    8-bit coverage that an avatar has learned; optional, read if `data.masks` names it
    plate/CC/color.png known.png  what a static camera sees without the person, and where that is known (255); both
                                  optional, and not in ZJU-MoCap
    schp/CC/FFFFFF.png            part labels in the LIP palette's colours
    smpl_params/F.npy             {poses 1 x 3J, Rh 1 x 3, Th 1 x 3, shapes}: world = rotation(Rh) posed + Th;
                                  they are `body_pose`, `orient` and `transl` of `BodyPose`, and the betas
    smpl_vertices/F.npy           V x 3, world
    smpl_lbs/                     joints J x 3, parents J, faces F x 3, weights V x J, tvertices V x 3 (rest), uv V x 2,
                                  bigpose_vertices V x 3, bigpose_bw X x Y x Z x (J + 1), bweights/F.npy likewise
    bigpose_uv.npy                X x Y x Z x 2
    subject.json, scene.json      joint names, how the files were made, and the `splits` of a published data set: the
                                  frames of train, heldout and novel_pose; both optional
    findings.json                 [{verdict, name, value, advice}]: what preprocessing found doubtful; optional

Folders of neural body, animatable NeRF and their successors are read under their own names (`layout.names_in`):
params/ or new_params/, vertices/ or new_vertices/, lbs/, annots_new.npy; `poses` of 3 (J - 1) numbers leave out
the root.

The reader derives vertices, big-pose vertices, rest vertices, texture coordinates and volumes if their files are
missing. CC is the camera and FFFFFF the frame, with leading zeros; F is the frame without.
"""

from hashhuman.data.subject.layout import Picture
from hashhuman.data.subject.reader import Subject
from hashhuman.data.subject.writer import SubjectWriter

__all__ = ["Picture", "Subject", "SubjectWriter"]
