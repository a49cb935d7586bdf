"""Corner cases of single functions: kinks; zeros, infinities and NaN."""
import torch
from torture_harness import begin, case, inf, nan

# --- A: kinks -----------------------------------------------------------------------------------------------------------
begin("A")
kinks = [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]
for f in ("torch.abs(x)", "x.abs()", "torch.relu(x)", "F.relu6(x)", "F.leaky_relu(x)", "F.leaky_relu(x,0.2)", "F.softsign(x)", "F.hardswish(x)", "F.silu(x)",
          "F.mish(x)", "F.logsigmoid(x)", "F.softplus(x)", "F.softplus(x,beta=3)", "F.tanhshrink(x)",
          "F.threshold(x,0.0,5.0)", "F.threshold(x,1.0,-1.0)", "F.gelu(x)", 'F.gelu(x,approximate="tanh")',
          "torch.sign(x)", "torch.sgn(x)*x", "x.ceil()*x", "torch.trunc(x)+x", "torch.round(x)*x", "torch.floor(x)*x",
          "torch.frac(x)", "torch.clamp(x,min=0)", "torch.clamp(x,max=0)", "x.clamp(-1,1)", "torch.clip(x,0.,2.)",
          "x.clamp_min(1.0)", "x.clamp_max(-1.0)", "torch.heaviside(x.detach(),torch.tensor([0.5]))*x", "torch.square(torch.relu(x))",
          "torch.maximum(x,torch.tensor(0.))", "torch.minimum(x,torch.zeros(6))", "torch.where(x>=0,x,-x)",
          "torch.where(x==0,x*5,x)", "(x>0).double()*x", "x*(x<=0)", "torch.abs(x)**3", "torch.relu(x)-torch.relu(-x)",
          "torch.relu(x)+torch.relu(-x)", "torch.abs(torch.abs(x))", "torch.max(x,-x)", "torch.min(x,x*x)",
          "torch.fmax(x,torch.zeros(6))", "torch.fmin(x,torch.zeros(6))",
          "torch.abs(x).sqrt()+x.sqrt()", "x.pow(2).sqrt()", "torch.remainder(x,1.5)", "torch.fmod(x,1.5)", "x%1.5"):
    safe = "sqrt" not in f
    case(f, kinks if safe else [4.0, 9.0], policy="convention", orders=(2,) if safe else ())
for f in ("F.elu(x)", "F.elu(x,alpha=0.5)", "F.selu(x)", "F.celu(x,alpha=2.0)"):
    case(f, kinks, policy="convention")
    case(f, [-2.0, -0.5, 1.0], orders=(2, 3))
case("F.elu(x)", [-1.0, 0.0, 1.0], orders=(2,), policy="convention", name="elu-second-order")
case("torch.copysign(x,torch.tensor(-1.))", kinks, policy="convention")
# PyTorch's trigamma has ten digits.
for f, at in {"torch.digamma(x)": [1.0, 0.5, 10.0], "torch.special.psi(x)": [2.5], "torch.polygamma(1,x)": [1.0, 3.5]}.items():
    case(f, at, tol=1e-8)
case("F.hardtanh(x)", [-1.0, 0.0, 1.0, 2.0], policy="convention")
case("F.hardtanh(x,-2.0,0.5)", [-3.0, 0.0, 1.0, 0.25])
case("F.hardsigmoid(x)", [-4.0, -3.0, 0.0, 3.0, 4.0], policy="convention", tol=1e-7)
case("F.hardswish(x)", [-4.0, -1.0, 0.0, 1.5, 4.0], policy="convention", tol=1e-7)
case("F.relu6(x)", [-1.0, 3.0, 7.0])
case("F.hardshrink(x)", [-1.0, -0.5, 0.0, 0.5, 1.0], policy="convention")
case("F.softshrink(x)", [-1.0, -0.5, 0.0, 0.5, 1.0], policy="convention")
case("F.softshrink(x,lambd=0.25)", [-1.0, -0.2, 0.0, 0.3, 1.0])
case("F.prelu(x,y0)", [-1.0, 0.0, 2.0], [0.25])
case("F.glu(x)", [[1.0, -2.0, 0.0, 3.0]])
case("torch.clamp(x,y0,z)", [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0] * 5, [1.0] * 5, policy="convention")
case("torch.clamp(x,y0,z)", [0.5, 0.5], [1.0, 0.0], [0.0, 1.0], policy="convention")
case("x.clamp(min=y0)", [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0], policy="convention")
case("torch.clamp(x,0.,0.)", [-1.0, 0.0, 1.0], policy="convention")
for f in ("maximum", "minimum", "fmax", "fmin", "max", "min"):
    case(f"torch.{f}(x,y0)", [1.0, 2.0, 2.0, -0.0], [2.0, 1.0, 2.0, 0.0], policy="convention", cotangent=[1, 2, 3, 4])
    case(f"torch.{f}(x*2,x*x)", [2.0, 1.0, 0.0], policy="convention", orders=(2,))
ties = [[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]]
for f in ("amax", "amin"):
    for how in ("", ",dim=0", ",dim=1,keepdim=True", ",dim=(0,1)", ",-1"):
        case(f"torch.{f}(x{how})" if how else f"x.{f}()", ties, policy="convention")
for f in ("max", "min"):
    case(f"torch.{f}(x)", ties, policy="convention")
    case(f"x.{f}(dim=1).values", ties, policy="convention", cotangent=[1, 10])
    case(f"torch.{f}(x,0)[0]", ties, policy="convention", cotangent=[1, 10, 100])
    case(f"v,i=torch.{f}(x,1,keepdim=True)\ny=v*i", [[1.0, 5.0, 3.0], [9.0, 2.0, 7.0]])
    case(f"x.{f}(-1)[0]", [5.0, 7.0, 7.0, 1.0], policy="convention")
case("torch.max(x).reshape(1)*torch.max(x)", [4.0, 4.0, 4.0, 1.0], policy="convention", orders=(2,))
case("x.max()-x.min()", [0.0, 0.0], policy="convention")
case("torch.aminmax(x.detach()).max*x", [1.0, 5.0, 2.0])
case("x.argmax().double()*x.sum()", [1.0, 5.0, 2.0])
case("x.argmin(dim=1)*x.sum(1)", [[1.0, 0.0, 2.0], [3.0, 2.0, 1.0]])
for f in ("cummax", "cummin"):
    case(f"torch.{f}(x,0).values", [1.0, 3.0, 2.0, 3.0, 4.0, 0.0], cotangent=[1, 2, 4, 8, 16, 32], policy="convention")
    case(f"torch.{f}(x,1)[0]", [[1.0, 3.0, 2.0, 5.0, 4.0, 0.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    case(f"torch.{f}(x,0).indices*x", [1.0, 3.0, 2.0, 3.0])
case("torch.median(x)", [3.0, 1.0, 2.0])
case("x.median()", [5.0, 5.0, 1.0, 5.0], policy="convention")
case("torch.median(x,1).values", [[4.0, 1.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
case("torch.median(x,dim=0,keepdim=True)[0]", [[4.0, 1.0], [3.0, 2.0], [5.0, 0.0]])
case("torch.kthvalue(x,2).values", [4.0, 1.0, 3.0, 2.0])
case("x.kthvalue(1,dim=0)[0]", [[4.0, 1.0], [3.0, 2.0]])
case("torch.quantile(x,0.3)", [4.0, 1.0, 3.0, 2.0])
case("torch.quantile(x,torch.tensor([0.25,0.5]),dim=1)", [[4.0, 1.0, 3.0, 2.0], [1.0, 5.0, 6.0, 9.0]])
for how in ("", ",descending=True", ",dim=0", ",dim=-1,descending=True"):
    case(f"torch.sort(x{how}).values", [[3.0, 1.0, 2.0], [2.0, 3.0, 1.0]], cotangent=[[1, 2, 4], [8, 16, 32]])
case("x.sort(0)[0]", [2.0, 1.0, 2.0, 1.0], cotangent=[1, 2, 4, 8], policy="convention")
case("torch.sort(x,descending=True,stable=True).values", [2.0, 1.0, 2.0, 1.0], cotangent=[1, 2, 4, 8])
case("v,i=x.sort()\ny=v*i", [3.0, 1.0, 2.0])
case("x[torch.argsort(x)]", [3.0, 1.0, 2.0], cotangent=[1, 2, 4])
case("torch.msort(x)", [[3.0, 1.0], [1.0, 2.0]], cotangent=[[1, 2], [3, 4]])
case("torch.topk(x,2).values", [[3.0, 1.0, 2.0], [2.0, 3.0, 1.0]], cotangent=[[1, 2], [4, 8]])
case("torch.topk(x,2,largest=False)[0]", [3.0, 1.0, 2.0, 0.0], cotangent=[1, 2])
case("x.topk(1,dim=0).values", [[3.0, 1.0], [2.0, 4.0]])
case("torch.remainder(x,y0)", [5.5, -5.5, 5.5, -5.5, 6.0], [2.0, 2.0, -2.0, -2.0, 2.0])
case("torch.fmod(x,y0)", [5.5, -5.5, 5.5, -5.5, 6.0], [2.0, 2.0, -2.0, -2.0, 2.0])
case("torch.floor_divide(x.detach(),2)*x", [5.5, -5.5])
case("x.detach()//2.0*x+x%2.0", [5.5, -5.5])
case('torch.div(x,y0,rounding_mode="floor")+x', [5.5], [2.0])
case('torch.div(x,y0,rounding_mode="trunc")+x', [-5.5], [2.0])
case("F.l1_loss(x,y0)", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], policy="convention")
case('F.smooth_l1_loss(x,y0,reduction="sum")', [0.0, 1.0, 2.0, -3.0], [0.0, 0.0, 0.0, 0.0])
case("F.smooth_l1_loss(x,y0,beta=0.5)", [0.0, 0.5, 2.0], [0.0, 0.0, 0.0])
case("F.huber_loss(x,y0,delta=2.0)", [0.0, 2.0, 5.0], [0.0, 0.0, 0.0])
case('F.huber_loss(x,y0,reduction="none")', [0.0, 1.0, -1.0, 5.0], [0.0, 0.0, 0.0, 0.0])
case("F.margin_ranking_loss(x,y0,torch.tensor([1.,1.,-1.]),margin=1.0)", [1.0, 2.0, 3.0], [2.0, 1.0, 1.0])
case("F.hinge_embedding_loss(x,torch.tensor([1.,-1.,-1.]))", [0.5, 0.25, 2.0])
case("torch.dist(x,y0,1)", [1.0, 2.0, 3.0], [1.0, 0.0, 5.0], policy="convention")

# --- B: zeros, infinities, NaN ----------------------------------------------------------------------------------------------
begin("B")
for f, at in {
        "torch.sqrt(x)": [0.0, -0.0, 1.0, inf, -1.0, nan], "torch.rsqrt(x)": [0.0, 1.0, 4.0, inf, -1.0],
        "1/x": [0.0, -0.0, inf, -inf, nan], "torch.reciprocal(x)": [0.0, -0.0, inf, 2.0], "x**-1": [0.0, 2.0],
        "x**-2": [0.0, 2.0], "x**0.5": [0.0, 4.0], "x**1.5": [0.0, 4.0], "x**2": [0.0, inf, nan], "x**3": [0.0, -inf],
        "x**1": [0.0, nan, inf], "x**0": [0.0, nan, inf, -1.0], "2**x": [0.0, inf, -inf], "0.0**x": [1.0, 2.0],
        "torch.pow(0.0,x)": [1.0, 0.0, 3.0], "torch.pow(x,-0.5)": [0.0, 4.0], "torch.float_power(x,2)": [0.0, -3.0],
        "torch.log(x)": [0.0, -0.0, 1.0, inf, -1.0], "torch.log2(x)": [0.0, 8.0, inf], "torch.log10(x)": [0.0, 100.0],
        "torch.log1p(x)": [-1.0, 0.0, inf, 1e-300, -2.0], "torch.exp(x)": [inf, -inf, 0.0, 710.0, -750.0, nan],
        "torch.exp2(x)": [inf, -inf, 0.0, 10.0], "torch.expm1(x)": [inf, -inf, 0.0, 1e-20],
        "torch.tanh(x)": [inf, -inf, 0.0, 400.0], "torch.sigmoid(x)": [inf, -inf, 0.0, 800.0, -800.0],
        "torch.sinh(x)": [0.0, 20.0, -20.0], "torch.cosh(x)": [0.0, 20.0, -20.0], "torch.atan(x)": [inf, -inf, 0.0, 1e200],
        "torch.asin(x)": [-1.0, 0.0, 1.0, 2.0], "torch.acos(x)": [-1.0, 0.0, 1.0, -2.0], "torch.acosh(x)": [1.0, 2.0, 0.5],
        "torch.asinh(x)": [0.0, 1e-9, -5.0], "torch.atanh(x)": [-1.0, 0.0, 1.0, 2.0], "torch.tan(x)": [0.0, 1.5],
        "F.softplus(x)": [1000.0, -1000.0, 0.0, inf, -inf], "F.logsigmoid(x)": [1000.0, -1000.0, 0.0],
        "F.silu(x)": [1000.0, -1000.0, 0.0], "F.gelu(x)": [100.0, -100.0, 0.0], "F.mish(x)": [50.0, -50.0, 0.0],
        "F.elu(x)": [inf, -inf, 0.0, -0.0], "F.selu(x)": [1e6, -1e6], "torch.erf(x)": [inf, -inf, 0.0, 30.0],
        "torch.erfc(x)": [inf, -inf, 0.0], "torch.lgamma(x)": [1.0, 2.0, 0.5, 1e10], "torch.digamma(x)*1": [10.0],
        "torch.special.gammaln(x)": [3.5, 100.0], "torch.special.psi(x).detach()*x": [2.5],
        "torch.logit(x)": [0.0, 0.5, 1.0, 2.0, -1.0], "torch.logit(x,eps=0.1)": [0.0, 0.5, 1.0],
        "torch.special.expit(x)": [0.0, 5.0, -700.0], "torch.special.entr(x)": [0.5, 1.0, 2.0],
        "torch.special.xlogy(x,2.0)": [0.0, 1.0], "torch.special.xlog1py(x,0.5)": [0.0, 1.0],
        "torch.nan_to_num(x)": [nan, inf, -inf, 1.0], "torch.nan_to_num(x,nan=7.0,posinf=8.0,neginf=9.0)": [nan, inf, -inf],
        "x*0": [inf, nan, 1.0], "x-x": [inf, 1.0], "x/x": [0.0, inf, 2.0], "x*torch.exp(-x)": [0.0, 800.0],
        "torch.sinc(x)": [0.0, 1.0, -0.5], "torch.square(x)": [1e200, -0.0, inf], "torch.abs(x)": [-inf, nan, -0.0],
        "torch.sign(x)*x": [-inf, 0.0, inf], "torch.nansum(x)": [nan, 1.0, 2.0], "torch.nanmean(x)": [nan, 1.0, 2.0],
        "torch.isnan(x).double()+x.nan_to_num()": [nan, 2.0], "torch.isfinite(x)*1.0+x*0": [1.0, 2.0],
        "torch.where(torch.isnan(x),torch.zeros(3),x*x)": [nan, 1.0, 2.0],
        "torch.where(torch.isinf(x),torch.zeros(3),x*x)": [inf, 1.0, -inf],
        "x.masked_fill(torch.isnan(x),0.0)**2": [nan, 3.0], "torch.where(x>0,torch.log(x),x)": [0.0, 1.0, -1.0],
        "torch.where(x!=0,torch.sin(x)/x,torch.ones(2))": [0.0, 1.0],
        "torch.where(x!=0,1/torch.where(x!=0,x,torch.ones(2)),torch.zeros(2))": [0.0, 4.0],
        "torch.where(x<700,torch.exp(x),torch.zeros(2))": [800.0, 1.0],
        "torch.sqrt(x*x)": [0.0, 2.0, -2.0], "torch.sqrt((x**2).sum())": [0.0, 0.0], "(x*x+1e-12).sqrt()": [0.0, 1.0],
        "torch.exp(torch.log(x))": [0.0, 2.0], "torch.log(torch.exp(x))": [-800.0, 2.0], "x*torch.log(x)": [0.0, 1.0],
        "torch.xlogy(x,x)": [0.0, 1.0, 2.0], "torch.log(torch.sigmoid(x))": [-800.0, 0.0],
        "torch.log(1-torch.sigmoid(x))": [800.0, 0.0], "torch.log1p(torch.exp(x))": [800.0, 0.0],
        "torch.logsumexp(x,0)": [inf, 1.0], "x.logsumexp(dim=0,keepdim=True)": [-inf, -inf, 1.0],
        "torch.softmax(x,0)": [1000.0, 1000.0, -1000.0], "torch.softmax(x,-1)*torch.tensor([1.,2.,3.])": [-inf, 0.0, 1.0],
        "F.softmax(x,dim=0)": [-inf, -inf], "F.log_softmax(x,dim=0)": [-1000.0, 0.0, 1000.0],
        "torch.log_softmax(x,0)[1:]": [-inf, 0.0, 1.0], "F.softmin(x,dim=0)*torch.tensor([1.,2.])": [1.0, 2.0],
        "torch.softmax(x,1)*torch.tensor([1.,2.])": [[0.0, 0.0], [-inf, -inf], [-inf, 2.0]],
        "torch.logcumsumexp(x,0)": [0.0, 1.0, 1000.0], "torch.cumprod(x,0)": [0.0, 2.0, 0.0, 3.0],
        "x.cumprod(dim=1)": [[2.0, 3.0, 0.0], [0.0, 1.0, 2.0]], "torch.prod(x)": [0.0, 0.0, 0.0], "x.prod()": [5.0],
        "torch.prod(x,dim=1)": [[0.0, 2.0], [3.0, 4.0], [0.0, 0.0]], "x.prod(0,keepdim=True)": [[0.0, 2.0], [3.0, 0.0]],
        "torch.var(x)": [1.0, 1.0, 1.0], "torch.std(x)": [1.0, 1.0, 1.0], "x.std(unbiased=False)": [2.0, 2.0],
        "x.var(unbiased=False)": [3.0], "torch.std(x,dim=1)": [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]],
        "torch.var(x,1,unbiased=False)": [[1.0, 2.0], [5.0, 5.0]], "torch.std(x,0,keepdim=True)": [[1.0, 2.0], [4.0, 2.0]],
        "x.var(dim=(0,1),correction=0)": [[1.0, 2.0], [3.0, 5.0]], "torch.var_mean(x)[0]+torch.var_mean(x)[1]": [1.0, 4.0],
        "torch.std_mean(x)[0]": [1.0, 4.0, 4.0], "x.mean()": [inf, 1.0], "torch.mean(x)": [nan, 1.0],
        "torch.cumsum(x,0)": [inf, -inf, 1.0],  "torch.amax(x)": [-inf, -inf],
        "torch.amin(x,0)": [inf, 2.0], "torch.min(x)": [1.0, 2.0, -inf], "F.normalize(x,dim=0)": [3.0, 4.0],
        "torch.nn.functional.normalize(x,dim=1)": [[3.0, 4.0], [1.0, 1.0]], "torch.relu(x)": [nan, -nan, inf, -inf],
        "torch.clamp(x,0,1)": [inf, -inf, nan], "torch.hypot(x,torch.tensor(0.))": [3.0, -2.0],
        "torch.logaddexp(x,torch.tensor(0.))": [-inf, 0.0, 1000.0], "torch.special.ndtr(x)": [0.0, 1.0, -40.0],
        "torch.frac(x)*x": [1.5, -1.5, 0.0], "torch.deg2rad(x)": [180.0], "torch.rad2deg(x)": [1.0],
        "torch.mvlgamma(x,2)": [3.0, 5.5], "torch.signbit(x)*x": [-0.0, -2.0, 3.0],
        "torch.renorm(x,2,0,1.0)": [[3.0, 4.0], [0.1, 0.2]], "torch.ldexp(x,torch.tensor([2]))": [0.5, 0.0]}.items():
    strange = any(v in (nan, inf, -inf) or v != v for v in torch.tensor(at).flatten().tolist())
    case(f, at, policy="nonfinite" if strange or 0.0 in torch.tensor(at).flatten().tolist() else "exact")
for p in ("0", "1", "2", "3", "0.5", "inf", "-inf", "-1"):
    flat = "2" if p in ("0", "inf", "-inf") else p
    case(f"torch.linalg.vector_norm(x,ord={p})", [0.0, 0.0, 0.0], policy="nonfinite", name=f"norm-{p}-of-zeros")
    case(f"torch.linalg.vector_norm(x,{p})", [3.0, -4.0, 1.0])
    case(f"torch.norm(x,p={p},dim=1)", [[3.0, -4.0], [0.0, 0.0], [0.0, 2.0]], policy="nonfinite", name=f"norm-{p}-rows")
    case(f"x.norm({p},1,keepdim=True)", [[3.0, -4.0], [5.0, -5.0]], policy="convention")
case("torch.erfinv(x)", [0.0, 0.5, -0.9, 1.0, -1.0, 2.0], policy="nonfinite")
case("torch.erfinv(x)", [0.0, 0.5, -0.9, 0.999], orders=(2,), tol=1e-8)
case("F.pdist(x)", [[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
case("torch.linalg.norm(x,1)+torch.linalg.norm(x,ord=inf)", [[1.0, -2.0], [3.0, 5.0]])
case("torch.norm(x,1)", [[1.0, -2.0], [3.0, 5.0]])
case("x.std(0,False)+x.sum(1,True)", [[1.0, -2.0], [3.0, 5.0]])
case("torch.norm(x)", [[3.0, 4.0], [0.0, 0.0]])
case("torch.linalg.norm(x)", [[1.0, 2.0], [2.0, 4.0]], orders=(2,))
case("torch.linalg.matrix_norm(x)", [[1.0, 2.0], [2.0, 4.0]])
case("torch.cdist(x,y0)", [[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [3.0, 4.0]], policy="nonfinite")
case("F.pairwise_distance(x,y0,eps=0.0)", [[1.0, 2.0]], [[4.0, 6.0]])
case("x.max()", [nan, 1.0], policy="nonfinite", name="max-of-nan")
case("torch.amax(x,0)", [nan, 1.0], policy="nonfinite")
case("F.cosine_similarity(x,y0,dim=0)", [1.0, 0.0], [0.0, 1.0])
case("F.cosine_similarity(x,y0,dim=1)", [[0.0, 0.0], [1.0, 2.0]], [[1.0, 1.0], [2.0, 1.0]], policy="nonfinite", name="cosine-of-zero")
for f in ("torch.pow(x,y0)", "x**y0"):
    case(f, [0.0, 0.0, 2.0, 1.0], [2.0, 1.0, 0.0, 0.0], policy="nonfinite")
case("torch.pow(x,y0)", [0.0], [0.0], policy="nonfinite")
case("torch.pow(x,y0)", [0.0], [-1.0], policy="nonfinite")
case("torch.pow(x,y0)", [0.0, 0.0], [0.5, 3.0], policy="nonfinite")
case("torch.pow(x,y0)", [-2.0, -2.0], [3.0, -1.0], policy="nonfinite")
case("torch.pow(x,y0)", [inf, 2.0], [2.0, inf], policy="nonfinite")
case("torch.atan2(x,y0)", [0.0, 1.0, -1.0, 0.0], [1.0, 0.0, 0.0, -1.0])
case("torch.atan2(x,y0)", [0.0, 1e200, 1e-200], [0.0, 1e200, 1e-200], policy="nonfinite", name="atan2-far")
case("torch.hypot(x,y0)", [3.0, 0.0, 1e-200], [4.0, 2.0, 1e-200])
case("torch.logaddexp(x,y0)", [0.0, -inf, 1000.0, -1000.0], [0.0, 1.0, 999.0, -1000.0])
case("torch.logaddexp(x,y0)", [-inf, inf], [-inf, 0.0], policy="nonfinite", name="logaddexp-infinite")
case("torch.logaddexp2(x,y0)", [0.0, 1000.0], [1.0, 1000.0])
case("torch.xlogy(x,y0)", [0.0, 0.0, 2.0, 1.0], [0.0, -1.0, 0.0, 2.0], policy="nonfinite")
case("x*y0", [0.0, inf], [inf, 0.0], policy="nonfinite")
case("x/y0", [1.0, 0.0, 0.0, inf], [0.0, 1.0, 0.0, inf], policy="nonfinite")
case("torch.fmod(x,y0)", [1.0, inf], [inf, 2.0], policy="nonfinite", name="fmod-of-infinity")
case("torch.remainder(x,y0)", [1.0, 3.0], [0.0, 2.0], policy="nonfinite", name="remainder-by-zero")
case("torch.where(y0>0,x/y0,torch.zeros(2))", [1.0, 1.0], [0.0, 2.0], policy="nonfinite")
case("torch.where(torch.tensor([True,False]),x,y0)", [1.0, nan], [inf, 2.0])
case("x.where(y0>0,torch.zeros(2))", [1.0, nan], [1.0, -1.0])
case("torch.lerp(x,y0,0.25)", [0.0, 1.0], [4.0, -1.0])
case("torch.lerp(x,y0,z)", [0.0, 1.0], [4.0, -1.0], [0.25, 1.0])
case("torch.addcmul(x,y0,z,value=0.5)", [1.0, 0.0], [2.0, 0.0], [3.0, 1.0])
case("torch.addcdiv(x,y0,z,value=2)", [1.0, 0.0], [2.0, 0.0], [4.0, 1.0])
case("torch.addcdiv(x,y0,z)", [1.0], [2.0], [0.0], policy="nonfinite")
case("torch.fmax(x,y0)", [nan, 1.0], [1.0, nan], policy="nonfinite")
case("torch.maximum(x,y0)", [nan, 1.0, inf], [1.0, nan, inf], policy="nonfinite")
case("torch.copysign(x,y0)", [1.0, -2.0], [-3.0, 4.0])
case("F.cross_entropy(x,torch.tensor([0,1]))", [[1000.0, 0.0], [0.0, -1000.0]])
case("F.cross_entropy(x,torch.tensor([2]))", [[0.0, 1.0, -inf]], policy="nonfinite")
case("F.cross_entropy(x,torch.tensor([0]))", [[0.0, 1.0, -inf]])
case("F.cross_entropy(x,torch.tensor([0,-100]))", [[1.0, 2.0], [3.0, 4.0]])
case("F.cross_entropy(x,torch.tensor([0,1]),weight=torch.tensor([1.,3.]))", [[1.0, 2.0], [3.0, 5.0]])
case("F.cross_entropy(x,torch.tensor([0,1]),label_smoothing=0.1)", [[1.0, 2.0, 0.0], [3.0, 5.0, 1.0]])
case('F.cross_entropy(x,torch.tensor([0,1]),reduction="sum")', [[1.0, 2.0], [3.0, 5.0]])
case('F.cross_entropy(x,torch.tensor([1,0]),reduction="none")', [[1.0, 2.0], [3.0, 5.0]], cotangent=[1, 10])
case("F.cross_entropy(x,torch.tensor([[0.5,0.5],[0.,1.]]))", [[1.0, 2.0], [3.0, 5.0]])
case("F.cross_entropy(x,torch.tensor(1))", [1.0, 2.0, 3.0])
case("F.cross_entropy(x,torch.tensor([[0,1]]))", [[[1.0, 2.0], [3.0, 5.0]]])
case("F.nll_loss(F.log_softmax(x,1),torch.tensor([1,0]))", [[1.0, 2.0], [3.0, 5.0]])
case("F.binary_cross_entropy(x,torch.tensor([0.,1.,1.]))", [0.25, 0.5, 0.75])
case("F.binary_cross_entropy(x,torch.tensor([0.,1.,1.,0.]))", [0.0, 1.0, 0.0, 1.0], policy="nonfinite", tol=1e-7)
case("F.binary_cross_entropy(torch.sigmoid(x),torch.tensor([0.,1.]))", [2.0, -3.0])
case("F.binary_cross_entropy_with_logits(x,y0)", [0.0, 100.0], [0.5, 1.0])
case("F.binary_cross_entropy_with_logits(x,torch.tensor([1.,0.]),pos_weight=torch.tensor([3.,3.]))", [0.5, -100.0])
case('F.kl_div(x,torch.tensor([0.5,0.5,0.]),reduction="sum")', [-1.0, -2.0, -3.0])
case('F.kl_div(F.log_softmax(x,1),F.softmax(y0,1),reduction="batchmean")', [[1.0, 2.0]], [[0.0, 1.0]])
case("F.kl_div(x,y0,log_target=True)", [-1.0, -2.0], [-1.5, -0.5])
case("F.poisson_nll_loss(x,torch.tensor([0.,2.]))", [0.0, 1.0])
case("F.gaussian_nll_loss(x,torch.tensor([0.,2.]),y0)", [0.0, 1.0], [1.0, 0.5])
case("F.soft_margin_loss(x,torch.tensor([1.,-1.]))", [100.0, 100.0])
case("F.triplet_margin_loss(x,y0,z)", [[1.0, 2.0]], [[1.5, 2.0]], [[1.0, 2.5]])
case("F.cosine_embedding_loss(x,y0,torch.tensor([1.,-1.]))", [[1.0, 2.0], [3.0, 4.0]], [[2.0, 1.0], [1.0, 3.0]])
case("F.mse_loss(x,y0)", [inf, 1.0], [0.0, 1.0], policy="nonfinite")
case("x.sum()", [])
case("x.prod()", [])
case("torch.cat([x,y0]).sum()", [], [1.0, 2.0])
case("torch.zeros(0,3).sum(0)+x", [1.0, 2.0, 3.0])
case("x[x>10].sum()", [1.0, 2.0])
