"""``esl-controller secretary``, and what it prints and writes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from esl_controller.cli.main import main
from esl_controller.secretaries.hours import DAYS
from esl_controller.secretaries.reading import read, tables
from tests.secretaries.rig import AGENT, CLINIC, CLINICA, EXAMPLES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the settings; not there yet."""
    monkeypatch.setenv("ESL_CONTROLLER_SECRETARIES_FOLDER", str(tmp_path / "secretaries"))
    return tmp_path / "secretaries"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    try:
        status = main(["secretary", *argv])
    except SystemExit as left:
        status = int(str(left.code))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.usefixtures("folder")
def test_the_examples_are_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESL_CONTROLLER_WEBHOOK_SECRET", "s3cret")
    assert run(capsys, "check", str(EXAMPLES)) == (0, "2 secretaries are right\n", "")
    assert run(capsys, "check", str(CLINICA)) == (0, "1 secretary is right\n", "")


@pytest.mark.usefixtures("folder")
def test_check_says_that_secret_digits_go_out_unsigned(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", str(CLINICA))
    assert (status, err) == (0, "")
    unsigned, right = out.splitlines()
    assert re.fullmatch(
        rf"{CLINICA}:\d+: \[\[tools.webhooks\]\] secure: .* unsigned.*\[webhook\] secret.*",
        unsigned,
    )
    line = int(unsigned.removeprefix(f"{CLINICA}:").partition(":")[0])
    assert CLINICA.read_text(encoding="utf-8").splitlines()[line - 1].startswith("secure = ")
    assert right == "1 secretary is right"


def test_check_says_who_is_never_open(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    never = "[hours]\n" + "".join(f"{day} = []\n" for day in DAYS)
    (folder / "default.toml").write_text(never)
    status, out, err = run(capsys, "check")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{folder}/default.toml: [hours] no day has times and all are []: it is always closed",
        "1 secretary is right",
    ]


def test_check_finds_a_destination_that_leads_back_to_us(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    text = '[[destinations]]\nname = "Desk"\nnumber = "8500"\n'
    (folder / "default.toml").write_text(text)
    assert run(capsys, "check")[0] == 0
    status, told, _ = run(capsys, "check", "--number", "8500")
    assert status == 1
    assert told.startswith(f"{folder}/default.toml:3: [[destinations]] number: 8500 is our own")
    (folder / "default.toml").write_text(text + 'context = "elsewhere"\n')
    assert run(capsys, "check", "--number", "8500")[0] == 0


def test_check_finds_a_model_that_the_settings_do_not_have(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    file = folder / "default.toml"
    file.write_text('name = "Ana"\nmodels = ["[agent]", "Europe"]\n')
    unknown = f'{file}:2: models: the settings have no "Europe"; there are "[agent]"\n'
    assert run(capsys, "check")[:2] == (1, unknown)
    file.write_text('models = ["[agent]", "[agent]"]\n')
    assert run(capsys, "check")[:2] == (1, f"{file}:1: models: one of them is there twice\n")
    file.write_text('models = ["[agent]"]\n')
    assert run(capsys, "check") == (0, "1 secretary is right\n", "")


def test_check_says_where_a_mailbox_may_keep_who_is_to_come_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An extension may have one, as far as we know; a number outside, a queue or a team has none.
    Who did not write come_back expects nothing of it."""
    folder.mkdir()

    def told(kind: str, come_back: str) -> list[str]:
        text = f'[[destinations]]\nname = "Desk"\nnumber = "1"\nkind = "{kind}"\n{come_back}'
        (folder / "default.toml").write_text(text)
        status, out, err = run(capsys, "check")
        assert (status, err) == (0, "")
        return out.splitlines()[:-1]

    (line,) = told("extension", 'come_back = "unreached"')
    assert line.startswith(f"{folder}/default.toml:5: [[destinations]] come_back: if 1 has a mailb")
    assert told("extension", "come_back = true") == [line]
    (always,) = told("voicemail", 'come_back = "unreached"')
    assert "a mailbox always answers" in always
    assert not told("voicemail", "come_back = true")
    assert not told("queue", 'come_back = "unreached"')
    assert not told("extension", "come_back = false")
    assert not told("extension", "")


def test_check_prints_a_line_a_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "default.toml").write_text("nam = 1\nvoice = 3\n")
    (folder / "right.toml").write_text(CLINIC.read_text())
    (folder / "same.toml").write_text(CLINIC.read_text())
    status, out, err = run(capsys, "check")
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        f"{folder}/default.toml:1: nam: unknown; did you mean name?",
        f"{folder}/default.toml:2: voice: must be text, not 3",
        f"{folder}/same.toml:5: secretary_uuid: is for the same calls as {folder}/right.toml",
    ]
    status, out, _ = run(capsys, "check", str(folder / "nobody.toml"))
    assert (status, out) == (1, f"{folder}/nobody.toml: No such file or directory\n")


def test_what_cannot_be_done_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    status, _, err = run(capsys, "check")
    assert (status, err) == (2, f"there is no .toml file in {folder}\n")
    (folder / "ana.toml").write_text("domain_uuid = 'x'\n")
    assert run(capsys, "show", "bob")[2] == "there is no secretary 'bob'; there are: ana, default\n"
    assert run(capsys, "show", "ana")[2].endswith('ana.toml:1: domain_uuid: "x" is not a UUID\n')
    assert run(capsys, "new", "Ana")[::2] == (
        2,
        f"{folder}/ana.toml: exists already; choose another name\n",
    )
    assert (folder / "ana.toml").read_text() == "domain_uuid = 'x'\n"
    assert "no letter or digit" in run(capsys, "new", "!!")[2]
    assert "is not a name" in run(capsys, "new", "a\nb")[2]
    assert "is not a language tag" in run(capsys, "new", "a", "--language", "pt_BR")[2]
    monkeypatch.delenv("ESL_CONTROLLER_SECRETARIES_FOLDER")
    for argv in (["check"], ["show", "ana"], ["new", "Eva"]):
        assert "set [secretaries] folder in the settings" in run(capsys, *argv)[2]


def test_new_writes_a_right_file_with_every_key(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "new", "Ana Lúcia", "--language", "pt-BR")
    path = folder / "ana-lucia.toml"
    own = read(path, AGENT).secretary
    assert own is not None
    assert (status, err) == (0, "")
    assert out.startswith(f"{path}\nHand it calls: esl-controller dialplan ")
    assert f"--secretary-uuid {own.secretary_uuid}\n" in out
    assert (own.name, own.language, own.greeting) == (
        "Ana Lúcia",
        "pt-BR",
        "Olá! Como posso ajudar?",
    )
    text = path.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    for title, table in tables():
        assert title in text
        for key, field in table.model_fields.items():
            assert not field.description or re.search(rf"^#?{key} = ", text, re.MULTILINE)


def test_what_new_comments_out_is_right_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "new", "Ana")
    path = folder / "ana.toml"
    text = re.sub(r"^#(?! )", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    status, out, err = run(capsys, "check")
    mailbox, right = out.splitlines()
    assert (status, right, err) == (0, "1 secretary is right", "")
    assert "come_back" in mailbox
    assert set(tomllib.loads(text)) >= {"destinations", "tools", "events", "guardrails"}


def test_new_default_is_for_all_other_calls(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "every call that no other" in run(capsys, "new", "Default")[1]
    own = read(folder / "default.toml", AGENT).secretary
    assert own is not None
    assert own.key == ("", "")


def test_show_is_toml_of_the_values_in_effect_with_their_source(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    path = folder / "a.toml"
    source = CLINICA.read_text(encoding="utf-8")
    for line in ('voice = "marin"\n', "idle_s = 12\n"):
        source = source.replace(line, "")
    path.write_text(re.sub("\nfarewell = .*", "\nfarewell = ''", source), encoding="utf-8")
    outs = {run(capsys, "show", name)[1] for name in ("a", "ana", str(path))}
    outs.add(run(capsys, "show", "B1D2F7A4-5C3E-4F60-8A9B-0C1D2E3F4A5B")[1])
    [text] = outs
    assert 'voice = "marin"  # [agent]\n' in text
    assert "idle_s = 15.0  # default\n" in text
    assert 'farewell = "Obrigada por ligar. Até logo!"  # default\n' in text
    assert f'company = "Clínica Boa Vista"  # {path}:8\n' in text
    assert f'[[tools.webhooks]]\nname = "find_slots"  # {path}:' in text
    again = folder / "again.toml"
    again.write_text(text, encoding="utf-8")
    assert read(again, AGENT).secretary == read(path, AGENT).secretary.model_copy(  # type: ignore[union-attr]
        update={"voice": "marin", "farewell": "Obrigada por ligar. Até logo!"}
    )


def test_show_names_the_files_where_several_are_meant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    for name, example in (("a", CLINICA), ("b", CLINIC)):
        text = re.sub('\nname = ".*"\n', '\nname = "Eva"\n', example.read_text(), count=1)
        (folder / f"{name}.toml").write_text(text)
    assert run(capsys, "show", "éva")[2] == (
        f"several are called 'éva'; give one of the files: {folder}/a.toml, {folder}/b.toml\n"
    )


def test_show_default_without_a_file_is_the_agents(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESL_CONTROLLER_AGENT_INSTRUCTIONS", "Be brief.")
    folder.mkdir()
    for _ in range(2):
        status, out, _ = run(capsys, "show", "default")
        assert status == 0
        assert 'instructions = "Be brief."  # [agent]\n' in out
        assert run(capsys, "show", "default", "--prompt")[1].startswith("Be brief.\n\n# Who you")
        monkeypatch.delenv("ESL_CONTROLLER_SECRETARIES_FOLDER", raising=False)


@pytest.mark.usefixtures("folder")
def test_show_prompt_is_what_the_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", str(CLINICA), "--prompt")[1]
    assert "\nYour name is Ana.\n" in out
    assert "- Recepção (also called: secretaria, atendente, uma pessoa): a team\n" in out
