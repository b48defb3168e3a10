"""Numbers of deepface 0.0.103: its thresholds, and the constants of its "confidence". The numbers are its own, as given; the code is ours.

The confidence is a logistic curve of the distance, fitted on 300 pairs of 25 pictures of nine people (its `experiments/distance-to-confidence.ipynb`),
then stretched so that "same" begins at 51 and "different" ends at 49. It is no probability: it jumps by up to 30 points at the threshold, it is 100
well before the distance is 0, and no prior enters it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ConfigError

__all__ = ["CONFIDENCES", "RANGES", "THRESHOLDS", "find_confidence", "find_threshold"]

MetricName = str | Callable[..., Any]

THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    "VGG-Face": {"cosine": 0.68, "euclidean": 1.17, "euclidean_l2": 1.17, "angular": 0.39},
    "Facenet": {"cosine": 0.4, "euclidean": 10, "euclidean_l2": 0.8, "angular": 0.33},
    "Facenet512": {"cosine": 0.3, "euclidean": 23.56, "euclidean_l2": 1.04, "angular": 0.35},
    "ArcFace": {"cosine": 0.68, "euclidean": 4.15, "euclidean_l2": 1.13, "angular": 0.39},
    "Dlib": {"cosine": 0.07, "euclidean": 0.6, "euclidean_l2": 0.4, "angular": 0.12},
    "SFace": {"cosine": 0.593, "euclidean": 10.734, "euclidean_l2": 1.055, "angular": 0.36},
    "OpenFace": {"cosine": 0.1, "euclidean": 0.55, "euclidean_l2": 0.55, "angular": 0.11},
    "DeepFace": {"cosine": 0.23, "euclidean": 64, "euclidean_l2": 0.64, "angular": 0.12},
    "DeepID": {"cosine": 0.015, "euclidean": 45, "euclidean_l2": 0.17, "angular": 0.04},
    "GhostFaceNet": {"cosine": 0.65, "euclidean": 35.71, "euclidean_l2": 1.1, "angular": 0.38},
    "Buffalo_L": {"cosine": 0.55, "euclidean": 0.6, "euclidean_l2": 1.1, "angular": 0.45},
}
"""Model -> metric -> largest distance that counts as same (`deepface/config/threshold.py`)."""

RANGES: Mapping[str, tuple[float, float]] = {
    "VGG-Face": (0.0, 0.27054874177488775),
    "Facenet": (-3.541942596435547, 3.247769594192505),
    "Facenet512": (-4.388302803039551, 3.643190622329712),
    "OpenFace": (-0.34191709756851196, 0.26318004727363586),
    "DeepFace": (0.0, 17.294939041137695),
    "DeepID": (0.0, 127.86836242675781),
    "Dlib": (-0.41398656368255615, 0.5201137661933899),
    "ArcFace": (-2.945136308670044, 2.087090015411377),
}
"""Model -> smallest and largest value that `minmax_normalize` stretches to 0 and 1 (`deepface/config/minmax.py`)."""


class _Curve(NamedTuple):
    """sigmoid(w · distance / normalizer + b), and the values between which it ran for same and for different people."""

    w: float
    b: float
    normalizer: float
    max_true: float
    min_true: float
    max_false: float
    min_false: float


CONFIDENCES: Mapping[str, Mapping[str, _Curve]] = {
    "VGG-Face": {
        "cosine": _Curve(
            -6.61254026479904, 3.145549102667549, 0.979183, 88.28484099529868, 20.787978733113846, 20.556681914175016, 3.457832575746455
        ),
        "euclidean": _Curve(
            -6.505124425537925, 3.8912125488666436, 1.399416, 76.47012030708339, 17.794898757517597, 16.443735520230746, 6.82484246933999
        ),
        "euclidean_l2": _Curve(
            -6.505124425537925, 3.8912125488666436, 1.399416, 76.47012030708339, 17.794898757517597, 16.443735520230746, 6.82484246933999
        ),
        "angular": _Curve(
            -5.035753663256314, 0.2961597285248822, 0.493373, 34.230717614698825, 16.624506551373642, 15.49607745347531, 10.080199045102233
        ),
    },
    "Facenet": {
        "cosine": _Curve(
            -6.502269165856082, 1.679048923097668, 1.206694, 77.17253153662926, 41.790002608273234, 20.618350202170916, 0.7976712344840693
        ),
        "euclidean": _Curve(
            -6.716177467853723, 2.790978346203265, 18.735288, 74.76412617567517, 40.4423755909089, 25.840858374979504, 1.9356150486888306
        ),
        "euclidean_l2": _Curve(
            -6.708710331202137, 2.9094193067398195, 1.553508, 75.45756719896039, 40.4509428022908, 30.555931000001184, 2.189644991619842
        ),
        "angular": _Curve(
            -6.371147050396505, 0.6766460615182355, 0.56627, 45.802357900723386, 24.327312950719133, 16.95267765757785, 5.063533287198758
        ),
    },
    "Facenet512": {
        "cosine": _Curve(
            -5.868251768046832, 0.8674084834913275, 1.384316, 62.19495119465813, 40.700922463435305, 39.96947059787277, 0.6687247052303562
        ),
        "euclidean": _Curve(
            -6.742961485008033, 2.61949356815704, 40.771751, 75.20184708761875, 23.391566956420913, 20.317410180868695, 1.5930391784587872
        ),
        "euclidean_l2": _Curve(
            -6.76040230078399, 3.0057651791652638, 1.663921, 78.73795056941638, 23.492800781101295, 21.754795621979017, 2.287349921316484
        ),
        "angular": _Curve(
            -6.487840122876141, 0.9536496647058516, 0.625563, 52.1215977454314, 21.72372703119752, 20.734638325222512, 4.290546073131373
        ),
    },
    "ArcFace": {
        "cosine": _Curve(
            -6.586150423868342, 2.2617127737265186, 1.22267, 82.32544721731948, 28.687745855666044, 17.210359124614925, 1.306796127659645
        ),
        "euclidean": _Curve(
            -5.370594347027345, 0.6896763568574544, 10.401334, 43.042326442916284, 19.048164749978937, 18.682892152590245, 0.9185346995033978
        ),
        "euclidean_l2": _Curve(
            -6.541948874098929, 3.2628963901283585, 1.563758, 74.93505228104696, 21.800168694491585, 15.091078907730523, 3.6296845343803894
        ),
        "angular": _Curve(
            -5.63344888288512, 0.5682159222314143, 0.571477, 40.81365081792457, 18.409621072962818, 15.13985487535995, 6.59169002231532
        ),
    },
    "GhostFaceNet": {
        "cosine": _Curve(
            -6.595823624282929, 2.4180964556128584, 1.155661, 84.65757505749636, 22.700531204915876, 15.08427020899693, 1.5101757980158446
        ),
        "euclidean": _Curve(
            -6.506709483088198, 2.935230928728856, 52.150135, 73.09358661728027, 24.63718600288871, 16.513245368123492, 2.7345457334612155
        ),
        "euclidean_l2": _Curve(
            -6.572852118241916, 3.3068829731570824, 1.520303, 75.95533899593255, 20.08886780040665, 17.84278657570624, 3.675727926946401
        ),
        "angular": _Curve(
            -5.588606771251277, 0.48845693581021543, 0.549751, 39.92978715270581, 16.49081504576138, 16.143233933992967, 7.018276839135204
        ),
    },
    "Dlib": {
        "cosine": _Curve(
            -3.7618087798972293, -0.6908814404797111, 0.200732, 32.289077089161594, 27.84268789569509, 27.803329512485526, 19.061842082779275
        ),
        "euclidean": _Curve(
            -7.494007964438609, 3.9696154227506937, 0.909856, 89.6022157357575, 37.63548146988899, 36.791885490113046, 5.474065355413035
        ),
        "euclidean_l2": _Curve(
            -7.104640497107913, 2.3288632189212457, 0.633612, 76.39948218795206, 37.84998375132765, 36.56103592414769, 10.222692344960938
        ),
        "angular": _Curve(
            -3.2116944601651727, -0.5970349913114966, 0.205221, 31.79313619700238, 27.2527288169969, 27.18852931051015, 22.163871613552466
        ),
    },
    "SFace": {
        "cosine": _Curve(
            -6.531673506288863, 2.2217245506456895, 1.147363, 81.04135659361265, 26.26225160110723, 23.62218403514688, 1.3256149092319998
        ),
        "euclidean": _Curve(
            -5.922412546512467, 2.2306552793788903, 18.826448, 53.59440633088357, 24.24534043569188, 24.000007447174763, 2.4321858952665205
        ),
        "euclidean_l2": _Curve(
            -6.561644724339029, 3.215600266169891, 1.514835, 72.39437183443313, 22.25500614635702, 19.531386697831906, 3.4024932531839815
        ),
        "angular": _Curve(
            -5.575609473928204, 0.421773496308517, 0.547079, 37.48563531943993, 17.074673595288292, 16.40044990637247, 6.732498767352633
        ),
    },
    "OpenFace": {
        "cosine": _Curve(
            -2.932562678842587, -2.0582304636838518, 0.884469, 10.546657497687274, 8.832401641007316, 8.535900401000742, 0.9452381276992784
        ),
        "euclidean": _Curve(
            -5.829345103053105, 1.4390680732209533, 1.330015, 60.28549643159932, 27.506182086242408, 27.058382251505012, 1.2245483461697035
        ),
        "euclidean_l2": _Curve(
            -5.82934526003372, 1.4390681633867946, 1.330015, 60.28549793162577, 27.506182591043363, 27.058382739158215, 1.224548265353685
        ),
        "angular": _Curve(
            -0.5288927551138177, -4.450627600247528, 0.463143, 1.109656206367124, 1.0914425266009675, 1.0887229955132125, 0.9052858972210456
        ),
    },
    "DeepID": {
        "cosine": _Curve(
            -1.1109389867203003, -1.644356005882629, 0.142463, 16.114369377586183, 15.966222060549578, 15.96057368926546, 14.153198282635255
        ),
        "euclidean": _Curve(
            -4.267900227772648, -0.11777629548659044, 124.194689, 27.2342405984107, 16.08201206739819, 15.90739039527823, 1.230125408063358
        ),
        "euclidean_l2": _Curve(
            -3.6681410379067394, -0.9230555193862335, 0.533784, 21.681829939622233, 17.57160935306287, 17.548244679217202, 5.309829288484883
        ),
        "angular": _Curve(
            -0.2707576106983799, -3.87004749575164, 0.171993, 2.02619851743467, 2.0220784432439474, 2.021498115793411, 1.951974654804089
        ),
    },
    "DeepFace": {
        "cosine": _Curve(
            -5.415666808301125, 1.4142777745857174, 0.379428, 74.38935817923884, 54.25111593547536, 54.16884369236297, 34.51159270342188
        ),
        "euclidean": _Curve(
            -7.001068623335827, 5.229677082777916, 85.997482, 90.45531547409938, 50.79114821321717, 50.4218117539695, 14.53693626301508
        ),
        "euclidean_l2": _Curve(
            -6.520866920809606, 3.750706572243227, 0.871123, 80.42595166943502, 39.6419822387709, 39.578029519563, 12.677597535252195
        ),
        "angular": _Curve(
            -0.20178503977417342, -4.960267621006636, 0.2869, 0.6803996880922583, 0.6801854995078236, 0.6759509854967268, 0.6573199053945571
        ),
    },
}
"""Model -> metric -> constants (`deepface/config/confidence.py`)."""


def find_threshold(model_name: str, distance_metric: MetricName = "cosine") -> float:
    """deepface's threshold of a model and a metric; 0.0 for a metric that is a function, as there.

    Raises:
        ConfigError: deepface has none.
    """
    if not isinstance(distance_metric, str):
        return 0.0
    if model_name not in THRESHOLDS:
        raise ConfigError(f"deepface has no threshold for {model_name!r}, only for: {', '.join(THRESHOLDS)}; give threshold= a number")
    if distance_metric not in THRESHOLDS[model_name]:
        raise ConfigError(f"deepface has no threshold for the metric {distance_metric!r}, only for: {', '.join(THRESHOLDS[model_name])}")
    return THRESHOLDS[model_name][distance_metric]


def find_confidence(distance: float, model_name: str, verified: bool, distance_metric: MetricName = "cosine") -> float:
    """deepface's "confidence" in percent, two decimals: 51 to 100 for same, 0 to 49 for different. No probability (see the module).

    A distance up to 0 gives 100 or 0; a model or metric without constants, or a metric that is a function, gives 51 or 49.
    """
    if distance <= 0:
        return 100.0 if verified else 0.0
    curve = CONFIDENCES.get(model_name, {}).get(distance_metric) if isinstance(distance_metric, str) else None
    if curve is None:
        return 51 if verified else 49
    z = curve.w * (distance / max(curve.normalizer, 1.0)) + curve.b
    raw = 100 / (1 + math.exp(-z)) if z >= 0 else 100 * math.exp(z) / (1 + math.exp(z))
    if verified:
        low, high, start, end = curve.min_true, curve.max_true, max(51.0, curve.min_true), 100.0
    else:
        low, high, start, end = curve.min_false, curve.max_false, 0.0, min(49.0, float(int(curve.max_false)))
    value = (raw - low) / (high - low) * (end - start) + start
    value = max(value, 51.0) if verified else min(value, 49.0)
    return round(min(max(value, 0.0), 100.0), 2)
