"""Floor 1: the question. Tasks, the sizes a model is built from, and what a batch carries."""

from graphkit.tasks.base import Dims, Task
from graphkit.tasks.batch import EventBatch, GraphBatch, History, HyperBatch, NodeBatch
from graphkit.tasks.graph import GraphClassification, GraphRegression, MultilabelGraphs
from graphkit.tasks.link import TemporalLinkPrediction
from graphkit.tasks.metrics import METRICS, Metric, metric
from graphkit.tasks.node import MultilabelNodes, NodeClassification, NodesOfGraphs
from graphkit.tasks.reconstruction import Reconstruction

__all__ = [
    "METRICS",
    "Dims",
    "EventBatch",
    "GraphBatch",
    "GraphClassification",
    "GraphRegression",
    "History",
    "HyperBatch",
    "Metric",
    "MultilabelGraphs",
    "MultilabelNodes",
    "NodeBatch",
    "NodeClassification",
    "NodesOfGraphs",
    "Reconstruction",
    "Task",
    "TemporalLinkPrediction",
    "metric",
]
