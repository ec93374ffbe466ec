"""Where a request would go, and why: the way a request takes, walked dry. Sends nothing, changes nothing.

`explainer` does it; here are the question and the answer, which a command line asks for without loading the rest.
"""

from omniroute.explaining.costs import Predicted, predicted
from omniroute.explaining.views import Choice, Explanation, Question, Refusal

__all__ = ["Choice", "Explanation", "Predicted", "Question", "Refusal", "predicted"]
