"""temporary"""
import torch, torch.nn.functional as F
from dataclasses import dataclass
def fit_frames(frames, size):
    h,w=frames.shape[-2:]; s=size/max(h,w); nh,nw=max(1,round(h*s)),max(1,round(w*s))
    x=F.interpolate(frames.float(),(nh,nw),mode="bilinear",antialias=True,align_corners=False).round().clamp(0,255).byte()
    t,l=(size-nh)//2,(size-nw)//2
    return F.pad(x,(l,size-nw-l,t,size-nh-t))
def iter_frames(*a,**k): raise NotImplementedError
def read_frames(*a,**k): raise NotImplementedError
def read_metadata(*a,**k): raise NotImplementedError
