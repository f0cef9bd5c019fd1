"""Makes checkpoints with the programs that people train with, each with what the network in it computes.

    python training_saves.py NAME FOLDER

runs in an environment of its own (`requirements-training.txt`), since these programs change what transformers does. Into FOLDER goes
`save`, a file or folder, and `truth.npz`: `pixels` and the `output` of the network that is to be converted, after all training.
"""
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("DS_ACCELERATOR", "cpu")
warnings.filterwarnings("ignore")

import numpy as np
import timm
import torch

torch.set_num_threads(1)
SIZES = dict(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=5)


def vit(seed=1, **changes):
    """A small ViT of timm's whose outputs depend on the image."""
    generator = torch.Generator().manual_seed(seed)
    model = timm.models.vision_transformer.VisionTransformer(**(SIZES | changes))
    for parameter in model.parameters():
        scale = 0.3 if parameter.ndim == 1 else 1.2 / parameter[0].numel() ** 0.5
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(1 + noise if parameter.ndim == 1 and parameter.shape == (48,) else noise)
    return model


def batch():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1, 2, 4])


def stepped(model):
    """One step of training, and the optimizer after it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pixels, labels = batch()
    torch.nn.functional.cross_entropy(model(pixels), labels).backward()
    optimizer.step()
    return optimizer


def dcp_alone(save):
    import torch.distributed.checkpoint as dcp
    model = vit()
    optimizer = stepped(model)
    dcp.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, checkpoint_id=str(save))
    return model


def fsdp_process(rank, save, truth):
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29573", RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo")
    model, mesh = vit(), init_device_mesh("cpu", (2,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    state, of_optimizer = get_state_dict(model, stepped(model))
    dcp.save({"app": {"model": state, "optim": of_optimizer}}, checkpoint_id=str(save))
    whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:
        torch.save(whole, truth)
    dist.destroy_process_group()


def dcp_fsdp(save):
    import torch.multiprocessing
    truth = save.with_name("whole.pth")
    torch.multiprocessing.spawn(fsdp_process, args=(save, truth), nprocs=2)
    model = vit()
    model.load_state_dict(torch.load(truth))
    return model


def fsdp_whole(save):
    dcp_fsdp(save.with_name("shards"))
    state = torch.load(save.with_name("whole.pth"))
    torch.save({"model": state, "epoch": 1}, save)
    model = vit()
    model.load_state_dict(state)
    return model


def fit(module, save, callbacks=()):
    import lightning
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batch()), batch_size=2)
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=len(callbacks) > 1,
                                enable_progress_bar=False, callbacks=list(callbacks), enable_model_summary=False,
                                default_root_dir=save.parent)
    trainer.fit(module, data)
    trainer.save_checkpoint(save)
    return module


def lightning_module(network, attribute="net"):
    import lightning
    import torchmetrics

    class Classifier(lightning.LightningModule):
        def __init__(self, lr=1e-3, class_names=("ant", "bee", "cat", "dog", "eel")):
            super().__init__()
            self.save_hyperparameters()
            setattr(self, attribute, network)
            self.criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 1.0, 1.0, 0.5]))
            self.train_acc = torchmetrics.ConfusionMatrix(task="multiclass", num_classes=5)

        def training_step(self, batch, _):
            logits = getattr(self, attribute)(batch[0])
            self.train_acc(logits, batch[1])
            return self.criterion(logits, batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)

    return Classifier()


def lightning_plain(save):
    return fit(lightning_module(vit()), save).net


def lightning_compiled(save):
    network = vit()
    fit(lightning_module(torch.compile(network, backend="eager"), "model"), save)
    return network


def lightning_averaged(save):
    """The callback keeps the averaged weights as `state_dict`, those of the last step as `current_model_state`."""
    from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
    often = ModelCheckpoint(dirpath=save.parent, filename="epoch", every_n_epochs=1, save_top_k=-1)
    fit(lightning_module(vit()), save.with_name("end"), callbacks=[EMAWeightAveraging(decay=0.5), often])
    save.with_name("epoch.ckpt").rename(save)
    saved = torch.load(save, weights_only=False)
    differ = [(saved["state_dict"][name] - tensor).abs().max() > 1e-6 for name, tensor in saved["current_model_state"].items()
              if tensor.is_floating_point()]
    assert any(differ)
    truth = vit()
    truth.load_state_dict({name[4:]: tensor for name, tensor in saved["state_dict"].items() if name.startswith("net.")})
    return truth


class WithLoss(torch.nn.Module):
    """What transformers' Trainer wants: a loss and logits."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values, labels=None):
        logits = self.backbone(pixel_values)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def trainer_run(save):
    from transformers import Trainer, TrainingArguments
    pixels, labels = batch()
    rows = [{"pixel_values": image, "labels": label} for image, label in zip(pixels, labels)]
    arguments = TrainingArguments(output_dir=str(save), max_steps=1, save_steps=1, report_to=[], use_cpu=True)
    model = WithLoss(vit())
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    return model.backbone


def ema(save):
    from ema_pytorch import EMA
    model = vit()
    averaged = EMA(model, beta=0.5, update_after_step=0, update_every=1)
    averaged.update()
    stepped(model)
    averaged.update()
    torch.save({"ema": averaged.state_dict(), "step": 2}, save)
    return averaged.ema_model


def compiled(save):
    model = vit()
    torch.save({"state_dict": torch.nn.parallel.DataParallel(torch.compile(model)).state_dict()}, save)
    return model


def averaged(save):
    from torch.optim.swa_utils import AveragedModel
    model = vit()
    average = AveragedModel(model)
    stepped(model)
    average.update_parameters(model)
    torch.save({"swa": average.state_dict(), "epoch": 2}, save)
    return average.module


def deepspeed_zero1(save):
    import deepspeed
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29574", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
    deepspeed.init_distributed("gloo")
    model = vit()
    config = {"train_batch_size": 4, "zero_optimization": {"stage": 1}, "zero_allow_untested_optimizer": True}
    engine, *_ = deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(model.parameters()), config=config)
    pixels, labels = batch()
    engine.backward(torch.nn.functional.cross_entropy(engine(pixels), labels))
    engine.step()
    engine.save_checkpoint(str(save))
    return engine.module


def open_clip(save):
    import open_clip.model as clip
    vision = clip.CLIPVisionCfg(timm_model_name="vit_tiny_patch16_224", timm_pool="", timm_proj="linear", image_size=224)
    text = clip.CLIPTextCfg(context_length=8, vocab_size=50, width=32, heads=2, layers=1)
    model = clip.CustomTextCLIP(embed_dim=16, vision_cfg=vision, text_cfg=text)
    with torch.no_grad():
        for parameter in model.visual.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "name": "run", "state_dict": state, "optimizer": {}}, save)
    trunk = model.visual.trunk.eval()
    return lambda pixels: trunk.forward_features(pixels)[:, 0], torch.randn(1, 3, 224, 224)


def lightly_dino(save):
    import copy
    from lightly.models.modules import DINOProjectionHead, MaskedVisionTransformerTIMM

    class Dino(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.student_backbone = MaskedVisionTransformerTIMM(vit=vit(num_classes=0))
            self.student_head = DINOProjectionHead(48, 32, 16, 64)
            self.teacher_backbone = copy.deepcopy(self.student_backbone)
            self.teacher_head = DINOProjectionHead(48, 32, 16, 64)

    model = Dino()
    with torch.no_grad():
        model.student_backbone.vit.norm.weight.add_(1)
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, save)
    return model.teacher_backbone.vit


def peft(save, model, targets, whole, **options):
    from peft import LoraConfig, get_peft_model
    torch.save(model.state_dict(), save)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=targets, modules_to_save=whole, **options)
    wrapped = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    wrapped.save_pretrained(save.with_name("adapter"))
    return wrapped


def peft_timm(save):
    return peft(save, vit(), ["qkv", "fc1", "proj"], ["head"])


def peft_rslora(save):
    return peft(save, vit(), ["qkv"], None, use_rslora=True)


def peft_biases(save):
    """peft writes the biases of a layer that is trained as a whole three times then."""
    return peft(save, vit(), ["qkv", "fc1"], ["head"], bias="all")


def peft_other_head(save):
    """The weights that it is trained on have ten classes, what comes out has five."""
    base = vit(num_classes=10)
    torch.save(base.state_dict(), save)
    base.reset_classifier(5)
    kept = torch.load(save)
    wrapped = peft(save, base, ["qkv"], ["head"])
    torch.save(kept, save)
    return wrapped


def peft_wrapped(save):
    """The network stands inside of another module while the adapter is trained."""
    model = peft(save, WithLoss(vit()), ["qkv"], None)
    torch.save(vit().state_dict(), save)
    return lambda pixels: model(pixels)["logits"], None


def transformers_vit(save):
    from transformers import ViTConfig, ViTForImageClassification
    torch.manual_seed(5)
    config = ViTConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, image_size=32,
                       patch_size=8, num_labels=5, layer_norm_eps=1e-6, initializer_range=0.2)
    return ViTForImageClassification(config)


def peft_transformers(save):
    model = peft(save, transformers_vit(save), ["query", "value"], ["classifier"]).eval()
    return lambda pixels: model(pixel_values=pixels).logits, None


def peft_dora(save):
    return peft(save, vit(), ["qkv"], None, use_dora=True)


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    found = globals()[name](folder / "save")
    run, pixels = found if isinstance(found, tuple) else (found.eval(), None)
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(9)) if pixels is None else pixels
    with torch.no_grad():
        np.savez(folder / "truth.npz", pixels=pixels.numpy(), output=run(pixels).numpy())


if __name__ == "__main__":
    main()
