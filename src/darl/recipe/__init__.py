"""Recipes: the one YAML of a run, its settings with their defaults, and reading it with named errors."""

from darl.recipe.file import load_recipe, parse_recipe, recipe_schema, recipe_to_yaml
from darl.recipe.problems import InvalidRecipeError
from darl.recipe.settings import Recipe

__all__ = ["InvalidRecipeError", "Recipe", "load_recipe", "parse_recipe", "recipe_schema", "recipe_to_yaml"]
