"""From a recipe to images: recipe, plan, driver, run."""
