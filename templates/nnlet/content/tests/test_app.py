"""{{project-name}}, built and served as it will be, and asked. `bash build.sh test` runs this."""

import json
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from nnlet.host import Address, free_port
from nnlet.project import Project
from nnlet.serving import serve_project

PROJECT = Project(Path(__file__).parent.parent)


class Served(unittest.TestCase):
    url: str

    @classmethod
    def setUpClass(cls) -> None:
        serving = serve_project(PROJECT, Address(port=free_port()))
        cls.url = serving.__enter__().url
        cls.addClassCleanup(serving.__exit__, None, None, None)

    def ask(self, path: str, body: object) -> tuple[int, dict]:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def test_a_flower_has_a_species(self) -> None:
        status, answer = self.ask("/species", {"flower": [5.5, 3.5, 1.3, 0.2]})
        self.assertEqual((status, answer["species"]), (200, "setosa"))

    def test_half_a_flower_is_refused(self) -> None:
        status, answer = self.ask("/species", {"flower": [5.5, 3.5]})
        self.assertEqual(status, 400)
        self.assertIn("4 numbers", answer["error"])


if __name__ == "__main__":
    unittest.main()
