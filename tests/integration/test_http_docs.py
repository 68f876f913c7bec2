"""/docs: the page needs nothing but this service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from flask.testing import FlaskClient

from app.http.docs import Asset

FOLDER = Path(__file__).parents[2] / "app" / "http" / "docs_page"
NAMES = ["", *(f"/{name}" for name in get_args(Asset))]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_may_be_loaded_from_elsewhere(http: FlaskClient, name: str) -> None:
    answer = http.get(f"/docs{name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert set(re.findall(r"https?://[^\"'\s]+", answer.text)) <= {"http://www.w3.org/2000/svg"}


def test_every_file_that_the_page_names_is_there(http: FlaskClient) -> None:
    """And every file that is there is named."""
    named = set(re.findall(r'(?:src|href)="docs/([^"]+)"', http.get("/docs").text))
    for name in get_args(Asset):
        named |= set(re.findall(r'from "\./([^"]+)"', http.get(f"/docs/{name}").text))
    assert named == set(get_args(Asset)) == {path.name for path in FOLDER.iterdir()} - {"page.html"}


def test_nothing_in_it_is_against_its_own_policy(http: FlaskClient) -> None:
    page = http.get("/docs").text
    assert not re.search(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", page)
    for name in get_args(Asset):
        assert not re.search(r"innerHTML|insertAdjacentHTML|\beval\(|new Function", http.get(f"/docs/{name}").text)


def test_files_beside_it_are_not_served(http: FlaskClient) -> None:
    for name in ("page.html", "../docs.py", "%2e%2e/docs.py", "none"):
        assert http.get(f"/docs/{name}").status_code == 404
