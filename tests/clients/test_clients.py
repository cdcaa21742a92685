"""Every scenario of *.json with every client that has a driver here; README.md has the rules.

`./dev test clients` runs them, four at a time. By hand, from tests/:
../build/venv/bin/python -m clients.test_clients [-v] [TestClients.test_LANGUAGE_SCENARIO]
"""
import unittest

from clients import scenario as stage


class TestClients(unittest.TestCase):
    """One test for each client and scenario."""

    def test_what_is_not_applicable_exists_and_says_why(self):
        names = stage.scenarios()
        for language, about in stage.languages().items():
            for name, why in about.get("not_applicable", {}).items():
                self.assertIn(name, names, language)
                self.assertTrue(why, f"{language}: {name}")


def add(language, about, scenario):
    def test(self):
        stage.play(about, scenario)
    name = f"test_{language}_{scenario['name']}".replace(" ", "_").replace("-", "_")
    test.__name__ = name
    test.__doc__ = scenario["why"]
    setattr(TestClients, name, test)


for client, description in stage.languages().items():
    for entry in stage.scenarios().values():
        if entry["name"] not in description.get("not_applicable", {}):
            add(client, description, entry)

if __name__ == "__main__":
    unittest.main()
