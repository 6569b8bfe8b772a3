"""Traces of workflows made by WfCommons' generators, which learned the shapes of real ones."""

import logging

from wfcommons import WorkflowGenerator
from wfcommons.wfchef.wfchef_abstract_recipe import WfChefWorkflowRecipe

from tests.workflows import Trace


def generated(recipe: type[WfChefWorkflowRecipe], tasks: int) -> Trace:
    """A trace of about so many tasks in the shape of a real workflow."""
    logging.getLogger("wfcommons").setLevel(logging.WARNING)
    workflow = WorkflowGenerator(recipe.from_num_tasks(tasks)).build_workflow()
    workflow.generate_json()
    trace: Trace = workflow.workflow_json
    return trace
