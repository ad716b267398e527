"""Marks of secrecy: found in every disguise, not found in the words that only look like them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes.rules.secret_marks import in_code, in_file_name, in_page, in_text

_S, _T, _A = "Mật", "Tối mật", "Tuyệt mật"

TEXTS_WITH_MARKS = [
    ("MẬT", _S),
    ("Mật", _S),
    ("(Mật)", _S),
    ("(MẬT) V/v bố trí lực lượng", _S),
    ("V/v bố trí lực lượng (Mật)", _S),
    ("V/v bố trí lực lượng [MẬT]", _S),
    ("Kế hoạch “Mật” về bố trí lực lượng", _S),
    ("MẬT: V/v bố trí lực lượng", _S),
    ("Mật - V/v bố trí lực lượng", _S),
    ("V/v bố trí lực lượng - MẬT", _S),
    ("V/v bố trí lực lượng. Độ mật: Mật", _S),
    ("Mức độ mật: Mật. Kế hoạch diễn tập", _S),
    ("Công văn mật", _S),
    ("Công văn mật về bố trí lực lượng", _S),
    ("Báo cáo mật số 12", _S),
    ("V/v bố trí lực lượng MẬT năm 2025", _S),
    ("V/v bố trí lực lượng (tối mật)", _T),
    ("TỐI MẬT - Kế hoạch phòng thủ", _T),
    ("Kế hoạch tối mật của tỉnh", _T),
    ("Độ mật: Tối mật", _T),
    ("TUYỆT MẬT", _A),
    ("Phương án tuyệt mật", _A),
    ("Danh sách cán bộ (tuyệt mật) năm 2025", _A),
    # Disguises.
    (unicodedata.normalize("NFD", "Kế hoạch tuyệt mật"), _A),
    (unicodedata.normalize("NFD", "V/v bố trí lực lượng (Mật)"), _S),
    ("Kế hoạch T U Y Ệ T M Ậ T", _A),
    ("M Ậ T", _S),
    ("(M.Ậ.T) V/v bố trí lực lượng", _S),
    ("M-Ậ-T", _S),
    ("(M\u200bậ\u200bt) bố trí", _S),
    ("tuyệt\u00admật", _A),
    ("tuyệt\u00a0mật năm nay", _A),
    ("ＴＵＹỆＴ ＭẬＴ", _A),
    ("ＭẬＴ", _S),
    ("(\u041cẬ\u0422) bố trí", _S),
    ("\u0422\u0423\u0423ỆT \u041cẬ\u0422".replace("\u0423\u0423", "U\u0423"), _A),
    ("(\u039cẬ\u03a4) bố trí", _S),
    ("Kế hoạch Tuyệt  -  Mật", _A),
    ("TuyệtMật", _A),
    ("(MAT) V/v bo tri luc luong", _S),
    ("TOI MAT", _T),
    ("(TUYET MAT) ke hoach", _A),
    ("TuyÖt mËt", _A),
    ("V/v bè trÝ lùc l­îng (MËt)", _S),
    ("Tuyeät maät", _A),
    ("Toái maät", _T),
]

ORDINARY_TEXTS = [
    "V/v bảo mật thông tin mạng",
    "Tăng cường công tác bảo vệ bí mật nhà nước",
    "Quyết định ban hành danh mục bí mật nhà nước độ Tuyệt mật, Tối mật thuộc lĩnh vực y tế",
    "Kế hoạch tập huấn Luật Bảo vệ bí mật nhà nước (độ Tuyệt mật, Tối mật, Mật)",
    "V/v xác định độ mật của bí mật nhà nước",
    "Báo cáo mật độ dân số các phường",
    "Mật độ xây dựng khu đô thị mới",
    "V/v xuất khẩu mật ong",
    "Mật ong: tiêu chuẩn chất lượng",
    "V/v đổi mật khẩu tài khoản",
    "Mật khẩu - hướng dẫn đặt lại",
    "Cấp mật mã cho thiết bị",
    "Ban Cơ yếu, sản phẩm mật mã dân sự",
    "V/v phối hợp mật thiết giữa hai cơ quan",
    "Họp kín và giữ bí mật đời tư",
    "Lưu giữ khóa bí mật",
    "Bệnh sỏi mật, túi mật",
    "BẢO MẬT THÔNG TIN",
    "TĂNG CƯỜNG BẢO MẬT",
    "MẬT ĐỘ XÂY DỰNG",
    "V/v đường mật, mía đường",
    "Thông báo tuyển sinh ngành An toàn, bảo mật",
    "Thỏa thuận bảo mật (NDA)",
    "hoạt động cơ mật viện triều Nguyễn",
    "Thăm hỏi thân mật.",
    "Cuộc gặp thân mật - hữu nghị",
    "V/v quản lý văn bản mật",
    "Nghiêm cấm gửi tài liệu mật qua mạng",
    "Rà soát mặt bằng thi công",
    "Giao mat bang cho nha thau",
    "San lap mat bang - dot 2",
    "Mat hang thiet yeu",
    "GIAI PHONG MAT BANG",
    "Thống kê mất rừng, tối mắt tối mũi",
    "Đường tới mật độ mục tiêu",
    "tuyệt đối bảo mật",
    "Kiểm tra mắt, khám mặt",
    "V/v cấp Giấy chứng nhận",
    "Nguyễn Văn Mật",
    "NGUYỄN VĂN MẬT",
    "Ông Nguyễn Văn MẬT",
    "",
    "7816/VPCP-TTĐT",
]


@pytest.mark.parametrize(("text", "mark"), TEXTS_WITH_MARKS)
def test_a_mark_in_a_text_is_found(text: str, mark: str) -> None:
    """In the middle of words it has to be set apart; Tối mật and Tuyệt mật count everywhere."""
    assert in_text(text) == mark


@pytest.mark.parametrize("text", ORDINARY_TEXTS)
def test_ordinary_words_are_no_mark(text: str) -> None:
    """What clerks write every day passes: bảo mật, mật độ, mật ong, bí mật nhà nước."""
    assert in_text(text) == ""


@pytest.mark.parametrize(
    ("code", "mark"),
    [
        ("MẬT", _S),
        ("UBND-NC(MẬT)", _S),
        ("KH-UBND-MẬT", _S),
        ("12/KH-MAT", _S),
        ("QĐ-TỐI MẬT", _T),
        ("QĐ-TUYỆTMẬT", _A),
        ("000.00.00.G22,2025/07/01,12/KH-UBND(Mật)", _S),
        ("KH.M-Ậ-T", _S),
        ("VPCP-TTĐT", ""),
        ("MTTQ-BTT", ""),
        ("QĐ-BMTT", ""),
        ("CV-ATTT", ""),
        ("000.00.00.G22,2025/07/01,7816/VPCP-TTĐT", ""),
    ],
)
def test_a_mark_in_a_notation(code: str, mark: str) -> None:
    """Every part of a notation stands for itself."""
    assert in_code(code) == mark


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("12_KH-UBND_(MAT).pdf", _S),
        ("12-KH-UBND (Mật).pdf", _S),
        ("MẬT.pdf", _S),
        ("12_TUYETMAT.pdf", _A),
        ("12_TOI_MAT.pdf", _T),
        ("Kế hoạch tuyệt mật.docx", _A),
        ("so_do_mat_bang.pdf", ""),
        ("SO_DO_MAT_BANG.pdf", ""),
        ("be_mat.pdf", ""),
        ("bao-mat-thong-tin.pdf", ""),
        ("Bảo mật thông tin.pdf", ""),
        ("7816_VPCP-TTĐT.pdf", ""),
    ],
)
def test_a_mark_in_a_file_name(name: str, mark: str) -> None:
    """Without accents "mat" is a face, a surface, a loss: it counts in brackets alone."""
    assert in_file_name(name) == mark


@pytest.mark.parametrize(
    ("page", "mark"),
    [
        ("UBND TỈNH\nMẬT\nSố: 12/KH-UBND", _S),
        ("UBND TỈNH\n   * TỐI MẬT *\nSố: 12", _T),
        ("Độ mật: Tuyệt mật\n", _A),
        ("Mức độ mật: MẬT", _S),
        ("độ: tối mật", _T),
        ("UBND TỈNH\nM Ậ T", _S),
        ("UBND TỈNH\nV/v bảo mật\nmật độ dân số", ""),
        ("tăng cường công tác bảo\nmật.\nNơi nhận", ""),
        ("quy định về xác định\nđộ mật\nĐộ mật", ""),
        ("tài liệu thuộc loại\ntuyệt mật\n", ""),
        ("Các độ mật: Tuyệt mật, Tối mật, Mật theo Luật Bảo vệ bí mật nhà nước", ""),
    ],
)
def test_a_mark_on_a_page(page: str, mark: str) -> None:
    """Stamped on a line of its own, or after its label."""
    assert in_page(page) == mark


@given(st.text(max_size=60))
def test_no_text_breaks_the_search(text: str) -> None:
    """Whatever is written, each search gives one of the marks or none."""
    for search in (in_text, in_code, in_file_name, in_page):
        assert search(text) in ("", _S, _T, _A)


@given(st.sampled_from(TEXTS_WITH_MARKS), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_forms_hide_nothing(case: tuple[str, str], form: str) -> None:
    """A mark is the same mark in every normal form of Unicode."""
    text, mark = case
    assert in_text(unicodedata.normalize(form, text)) == mark  # type: ignore[arg-type]
