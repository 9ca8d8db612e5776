"""The subject folder: every file, shape, unit and axis. The only reader and the only writer.

The layout is ZJU-MoCap's as instant-nvr refined it (J joints, V vertices, of any number; metres, radians):

    annots.npy                    {cams: {K, D, R, T}, ims: [{ims: [each camera's path]} of each frame]}; T in mm
    images/CC/FFFFFF.*            pictures as recorded, with the lens's distortion
    mask/CC/FFFFFF.png            8-bit coverage (or mask_cihp/, labels)
    schp/CC/FFFFFF.png            part labels in the LIP palette's colours
    smpl_params/F.npy             {poses 1 x 3J, Rh 1 x 3, Th 1 x 3, shapes}: world = rotation(Rh) posed + Th
    smpl_vertices/F.npy           V x 3, world
    smpl_lbs/                     joints J x 3, parents J, faces F x 3, weights V x J, tvertices V x 3 (rest), uv V x 2,
                                  bigpose_vertices V x 3, bigpose_bw X x Y x Z x (J + 1), bweights/F.npy likewise
    bigpose_uv.npy                X x Y x Z x 2
    subject.json, scene.json      joint names and how things were made; both optional

What can be derived may be missing: vertices, big-pose vertices, rest vertices, texture coordinates and volumes.
"""

from hashhuman.data.subject.layout import Picture
from hashhuman.data.subject.reader import Subject
from hashhuman.data.subject.writer import SubjectWriter

__all__ = ["Picture", "Subject", "SubjectWriter"]
