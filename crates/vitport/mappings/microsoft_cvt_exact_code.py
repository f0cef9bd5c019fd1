"""CvT as Microsoft defines it, for `AutoModelForImageClassification.from_pretrained(..., trust_remote_code=True)`.

transformers' CvT computes GELU where Microsoft's computes QuickGELU, x * sigmoid(1.702 * x). This is the same class with
that one activation replaced. Without `trust_remote_code=True` transformers' own class is loaded, as ever.
"""

import torch
from torch import nn
from transformers.models.cvt.modeling_cvt import CvtForImageClassification, CvtIntermediate


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 * x) (Hendrycks and Gimpel, arXiv:1606.08415, section 2)."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states * torch.sigmoid(1.702 * hidden_states)


class MicrosoftCvtForImageClassification(CvtForImageClassification):
    """CvtForImageClassification with QuickGELU in every MLP."""

    def __init__(self, config):
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, CvtIntermediate):
                module.activation = QuickGELU()
