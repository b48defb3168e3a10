"""The methods paragraph of a report, written from the run, in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import StudyConfig

__all__ = ["methods"]


def methods(document: Mapping[str, Any], config: StudyConfig, language: str) -> list[str]:
    """Paragraphs that say what was done, with models, versions, thresholds and their source; nothing in them is typed by hand."""
    return (_korean if language == "ko" else _english)(_facts(document, config))


def _facts(document: Mapping[str, Any], config: StudyConfig) -> dict[str, Any]:
    found, about = document["results"], document["embedders"]
    calibrated = [name for name in config.embedders if about[name]["calibrated"]]
    return {
        "config": config, "sample": found["sample"], "drops": found["identity"]["drops"], "about": about, "calibrated": calibrated,
        "bare": [name for name in config.embedders if name not in calibrated], "version": document["software"]["faceworks"],
        "hashes": {m["name"]: (m["files"][0][:12] if m["files"] else "no file") for m in document["models"]}, "reliability": found["reliability"],
        "rated": bool(found["reliability"]["table"]), "affect": found["affect"], "skipped": [s["name"] for s in document["skipped_models"]],
        "failed": sum(r["no_face"] + r["unreadable"] for r in found["sample"]["table"]), "lazy": found["expression"]["lazy"],
    }  # fmt: skip


def _english(f: Mapping[str, Any]) -> list[str]:
    c, s = f["config"], f["sample"]

    def named(names: Any) -> str:
        return ", ".join(f"{name} ({f['hashes'][name]})" for name in names)

    out = [
        f"We analyzed {s['edits']} edited pictures of {s['identities']} identities with faceworks {f['version']}"
        + (f"; the pictures were made by {', '.join(s['generators'])}" if s["generators"] else "")
        + f". Faces were found by {named([c.detector])}, the same for all models, and 68 points by {named([c.landmarker])}; of several faces the largest "
        f"was taken. {f['failed'] or 'No'} picture{'s' if f['failed'] != 1 else ''} failed (no face, or unreadable); failures count as not verified and as "
        "misses. Numbers in brackets are the first digits of the SHA-256 of each model’s file.",
        f"Identity: every edit was compared with {_source_words(c.neutral)} of the same identity by {len(c.embedders)} embedders: {named(c.embedders)}. "
        f"Cosines were expressed as z, in standard deviations of the cosines of different identities of this set that show the same emotion, since raw "
        f"cosines of different embedders cannot be compared. Pairs were verified at false match rates of {', '.join(f'{x:g}' for x in c.fmrs)}"
        + (f", with thresholds from calibrations of the whole recipe (detector, alignment, embedder) for {', '.join(f['calibrated'])}" if f["calibrated"] else "")
        + (f"{'; for' if f['calibrated'] else ', for'} {', '.join(f['bare'])} the thresholds are those of this set’s own impostors"
           f" (n = {', '.join(str(f['about'][name]['impostors']['n']) for name in f['bare'])}), which vouch for no rate below three over n" if f["bare"] else "")
        + ". deepface’s “confidence” is listed for comparison and was not used: it is no probability. "
        + ("The drop of each emotion is the identity’s own no-op edit (target neutral) minus the edit" if f["drops"]["against"] == "baseline" else
           "The drop of each emotion is measured against the picture compared with itself, since no edit aims at neutral")
        + f"; equivalence was tested by two one-sided t tests over identities with a margin of {f['drops']['margin']:g} SD, as study.toml states it.",
    ]  # fmt: skip
    if c.emotion:
        text = f"Expression: emotions were classified by {named(c.emotion)}; a most probable label below {c.unsure:g} counts as unsure. We report the open "
        text += (
            "result over each model’s whole label space and the one renormalized to the targets and neutral; recall with exact binomial intervals, "
        )
        text += "macro-F1, Cohen’s κ and Wagner’s unbiased hit rate."
        out.append(text)
    limits = f["lazy"]["limits"]
    out.append(
        "An edit counts as lazy when identity is kept (more than half of the embedders) and neither the emotions’ distribution (total variation distance"
        + (f" above {limits['change']:.3f}" if limits["change"] is not None else "")
        + f") nor the points (mean displacement above {limits['displacement']:.3f} eye distances) changed"
        + (", limits that 95 % of the no-op edits keep." if limits["from_baseline"] else ".")
        + " Locality: edits were carried onto their source by a similarity fitted to features outside the face; ΔE2000, structural similarity and the share "
        "of pixels that differ by at most 2/255 are given for face, hair and neck, and background. The verdict is evidence, not proof."
    )
    if c.affect:
        kind = "a stand-in computed from the emotion probabilities, shown for orientation only" if f["affect"]["stand_in"] else named([c.affect])
        out.append(f"Valence and arousal (−1 to 1) were estimated by {kind}; 95 % ellipses assume bivariate normal clouds.")
    if f["rated"]:
        r = f["reliability"]
        gone = f"; {len(r['excluded'])} were excluded ({'; '.join(sorted(set(r['excluded'].values())))})" if r["excluded"] else ""
        text = f"{r['raters']} raters judged the pictures in random order{gone}. Reliability: ICC(2,1) and ICC(2,k) (two-way random, absolute agreement), "
        text += "Krippendorff’s α and Fleiss’ κ. Ratings were modeled by emotion (× source) with random intercepts of identity and rater (REML), p values "
        text += "adjusted by Holm’s and Benjamini and Hochberg’s methods."
        out.append(text)
    out.append(
        f"Intervals are 95 %; bootstraps draw identities ({c.bootstrap} replicates, seed {c.seed})."
        + (f" Models named in the configuration but absent, and left out: {', '.join(f['skipped'])}." if f["skipped"] else "")
    )
    return out


def _source_words(neutral: str) -> str:
    return {"first": "the first source", "mean": "the mean vector of the sources", "each": "each source"}[neutral]


def _korean(f: Mapping[str, Any]) -> list[str]:
    c, s = f["config"], f["sample"]

    def named(names: Any) -> str:
        return ", ".join(f"{name}({f['hashes'][name]})" for name in names)

    source = {"first": "첫 번째 원본", "mean": "원본 벡터의 평균", "each": "각 원본"}[c.neutral]
    out = [
        f"인물 {s['identities']}명의 편집 이미지 {s['edits']}장을 faceworks {f['version']}로 분석하였다."
        + (f" 이미지는 {', '.join(s['generators'])}(으)로 생성되었다." if s["generators"] else "")
        + f" 얼굴 검출기는 모든 모델에 대해 {named([c.detector])}로 고정하였고, 68개 랜드마크는 {named([c.landmarker])}로 얻었으며, 얼굴이 여럿이면 가장 큰 "
        f"얼굴을 사용하였다. 얼굴을 찾지 못했거나 읽을 수 없는 이미지는 {f['failed']}장이며, 이는 제외하지 않고 불일치 및 오답으로 계산하였다. 괄호 안의 수는 "
        "모델 파일 SHA-256의 앞자리이다.",
        f"동일성: 각 편집 이미지를 같은 인물의 {source}과 {len(c.embedders)}개의 임베더({named(c.embedders)})로 비교하였다. 임베더마다 코사인의 의미가 다르므로, "
        "같은 감정을 보이는 이 집합의 서로 다른 인물 쌍의 표준편차를 단위로 한 z로 나타내었다. 쌍의 확인은 오일치율(FMR) "
        f"{', '.join(f'{x:g}' for x in c.fmrs)}에서 수행하였다."
        + (f" {', '.join(f['calibrated'])}의 임계값은 검출기·정렬·임베더 조합에 대한 보정에서 가져왔다." if f["calibrated"] else "")
        + (f" {', '.join(f['bare'])}의 임계값은 이 집합의 타인 쌍(n = {', '.join(str(f['about'][n]['impostors']['n']) for n in f['bare'])})에서 얻었으며, 3/n보다 "
           "낮은 오일치율은 보증하지 않는다." if f["bare"] else "")
        + " deepface의 ‘confidence’는 확률이 아니므로 비교용으로만 싣고 추론에 사용하지 않았다. "
        + ("감정별 저하는 같은 인물의 무변화 편집(목표: 중립)에서 해당 편집을 뺀 값이며" if f["drops"]["against"] == "baseline" else
           "중립을 목표로 한 편집이 없으므로 감정별 저하는 자기 자신과의 비교를 기준으로 하였고")
        + f", 동등성은 study.toml에 적힌 한계 {f['drops']['margin']:g} SD로 두 단측 t 검정(TOST)을 인물 단위로 수행하였다.",
    ]  # fmt: skip
    if c.emotion:
        out.append(
            f"표정: 감정은 {named(c.emotion)}로 분류하였고, 최대 확률이 {c.unsure:g} 미만이면 ‘불확실’로 처리하였다. 모델의 전체 범주에 대한 결과와 목표 범주로 "
            "재정규화한 결과를 함께 보고하며, 정확 이항 신뢰구간의 재현율, macro-F1, Cohen의 κ, Wagner의 무편향 적중률을 제시한다."
        )
    limits = f["lazy"]["limits"]
    out.append(
        "과반의 임베더에서 동일성이 유지되면서 감정 분포(총변동 거리"
        + (f" {limits['change']:.3f} 초과" if limits["change"] is not None else "")
        + f")와 랜드마크(평균 이동 {limits['displacement']:.3f} 눈 간격 초과)가 모두 변하지 않은 편집은 ‘변화 없음(lazy)’으로 표시하였다. 국소성: 얼굴 밖의 "
        "특징점에 맞춘 닮음 변환으로 편집을 원본에 정합하고, 얼굴·머리와 목·배경별 ΔE2000, SSIM, 차이가 2/255 이하인 화소의 비율을 구하였다. "
        "판정은 증거이며 증명이 아니다."
    )
    if c.affect:
        kind = "감정 확률로부터 계산한 대용값(참고용)" if f["affect"]["stand_in"] else named([c.affect])
        out.append(f"정서가와 각성(−1~1)은 {kind}으로 추정하였다. 타원은 이변량 정규분포를 가정한 95 % 타원이다.")
    if f["rated"]:
        r = f["reliability"]
        out.append(
            f"평정자 {r['raters']}명이 무작위 순서로 평정하였다"
            + (f"(제외 {len(r['excluded'])}명)" if r["excluded"] else "")
            + ". 신뢰도는 ICC(2,1), ICC(2,k), Krippendorff의 α, Fleiss의 κ로 보고한다. 평정은 인물과 평정자를 임의 절편으로 하는 혼합 모형(REML)으로 분석하였고, p 값은 "
            "Holm 및 Benjamini–Hochberg 방법으로 보정하였다."
        )
    out.append(
        f"신뢰구간은 95 %이며, 붓스트랩은 인물 단위로 {c.bootstrap}회 반복하였다(시드 {c.seed})."
        + (f" 설정에 있으나 파일이 없어 제외한 모델: {', '.join(f['skipped'])}." if f["skipped"] else "")
    )
    return out
