"""Published data sets in layouts of their own: one file for each, which states the layout and reads it.

A data set hands out a recording, its lens, masks, poses and splits. The variants `dataset` of the stages frames, masks
and body_fit make a subject folder of them, so that training knows one layout only.
"""
