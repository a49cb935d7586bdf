"""How else the same is spelled: keywords and methods, layers as objects, slices, changes in place, derivatives inside programs."""
from torture_harness import begin, case, inf, nan

begin("NA")
for f in ("torch.nn.functional.relu(x)", "torch.nn.ReLU()(x)", "torch.nn.ReLU6()(x)", "torch.nn.LeakyReLU(0.3)(x)",
          "torch.nn.LeakyReLU(negative_slope=0.3)(x)", "torch.nn.ELU()(x)", "torch.nn.SELU()(x)", "torch.nn.GELU()(x)", "torch.nn.SiLU()(x)",
          "torch.nn.Mish()(x)", "torch.nn.Softplus(beta=2)(x)", "torch.nn.Softsign()(x)", "torch.nn.Hardtanh()(x)", "torch.nn.Hardswish()(x)",
          "torch.nn.Hardshrink(0.7)(x)", "torch.nn.Softshrink(0.7)(x)", "torch.nn.Tanhshrink()(x)", "torch.nn.Threshold(0.1,20)(x)",
          "torch.nn.LogSigmoid()(x)", "torch.nn.Sigmoid()(x)", "torch.nn.Tanh()(x)", "torch.nn.Softmax(dim=0)(x)", "torch.nn.LogSoftmax(dim=-1)(x)",
          "torch.nn.CELU(0.5)(x)", "torch.nn.Identity()(x)", "torch.nn.Sequential(torch.nn.Tanh(),torch.nn.ReLU())(x)", "torch.selu(x)", "torch.relu_(x*1)",
          "F.relu_(x.clone())", "F.elu_(x*1)", "F.leaky_relu_(x*1,0.2)", "F.hardtanh_(x*1)", "F.threshold_(x*1,0.,3.)",
          "torch.nn.functional.softsign(input=x)", "torch.abs(input=x)", "torch.clamp(input=x,min=-0.5,max=0.5)", "torch.clip(x,min=-1,max=1)",
          "torch.clamp_max(x,max=0)", "x.clamp_(-1,1) if False else x.clamp(-1,1)", "torch.maximum(input=x,other=torch.zeros(6))", "x.maximum(-x)",
          "torch.max(x,torch.zeros(1))", "torch.min(input=x,other=-x)", "torch.copysign(x,x)", "x.neg().abs()", "min(x.unbind())", "x.frac()*x",
          "torch.where(x>0,x,torch.tensor(0.))", "torch.where((x>-1)&(x<1),x*x,2*x.abs()-1)", "torch.where(x.ge(0),x,x.exp())", "x*(x>0).float()",
          "(x.sign()+1)/2*x", "x*torch.sign(x)*torch.sign(x)", "x.remainder(1.5)", "x.square()", "x.abs()*x", "(x.max()-x).relu()",
          "torch.nn.functional.hardtanh(x,min_val=-0.5,max_val=0.5)", "F.softshrink(x,0.5)", "F.logsigmoid(input=x)", "torch.cummax(x,dim=0)[0]",
          "x.sort(dim=-1,descending=False)[0]*x", "torch.topk(x,k=2,dim=-1)[0]", "torch.median(x,dim=-1,keepdim=True)[0]",
          "torch.quantile(x,0.4,interpolation='midpoint')", "x[x.argsort(dim=0)]", "torch.max(x,dim=0,keepdim=True).values", "x.amax(dim=[0])"):
    case(f, x=[-2.0, -1.0, -0.0, 0.0, 1.0, 2.0], policy="convention")
for f in ("x.amin(dim=(1,),keepdim=True)", "x.min(dim=-2).values", "x.sort(0,descending=True)[0]*x", "x.kthvalue(2,1)[0]", "x.norm(p=float('inf'))",
          "torch.norm(x,'fro')", "torch.linalg.norm(x,'fro')", "torch.linalg.norm(x,dim=1)", "torch.linalg.norm(x,ord=1,dim=0)",
          "torch.linalg.norm(x,2,dim=-1,keepdim=True)", "torch.linalg.matrix_norm(x,ord=1)", "torch.linalg.matrix_norm(x,ord=float('inf'))",
          "torch.linalg.matrix_norm(x,'fro')", "torch.linalg.vector_norm(x,dim=1)", "torch.linalg.vector_norm(x,ord=3,dim=(0,1))",
          "torch.linalg.vector_norm(x,2,-1,True)"):
    case(f, x=[[3.0, -1.0, 3.0], [2.0, 2.0, -5.0]], policy="convention")
for f in ("F.mse_loss(x,torch.tensor([0.5,-0.5,1.0]),reduction='none')", "torch.nn.MSELoss()(x,torch.tensor([0.5,-0.5,1.0]))",
          "torch.nn.L1Loss(reduction='sum')(x,torch.tensor([0.5,-0.5,1.0]))", "torch.nn.SmoothL1Loss(beta=0.5)(x,torch.tensor([0.5,-0.5,1.0]))",
          "torch.nn.HuberLoss(delta=0.5)(x,torch.tensor([0.5,-0.5,1.0]))", "F.l1_loss(input=x,target=torch.tensor([0.5,-0.5,1.0]),reduction='none')",
          "F.huber_loss(x,torch.tensor([0.5,-0.5,1.0]),'sum',0.3)", "F.binary_cross_entropy(torch.sigmoid(x),torch.tensor([0.,1.,0.5]))",
          "torch.nn.BCEWithLogitsLoss()(x,torch.ones(3))", "torch.nn.BCELoss()(x.sigmoid(),torch.ones(3))",
          "F.cross_entropy(x[None],torch.tensor([[0.2,0.3,0.5]]))", "F.cross_entropy(x.expand(2,3),torch.tensor([1,2]),ignore_index=2,reduction='sum')",
          "torch.nn.CrossEntropyLoss()(x[None],torch.tensor([2]))",
          "torch.nn.CrossEntropyLoss(label_smoothing=0.1,reduction='sum')(x[None],torch.tensor([2]))",
          "F.cross_entropy(x.reshape(1,3,1).expand(1,3,2),torch.tensor([[0,2]]))", "torch.nn.NLLLoss()(x.log_softmax(0)[None],torch.tensor([0]))",
          "F.nll_loss(x.log_softmax(0).expand(2,3),torch.tensor([-100,1]))",
          "F.poisson_nll_loss(x.exp(),torch.tensor([1.,2.,3.]),log_input=False,full=True)",
          "F.triplet_margin_loss(x[None],torch.ones(1,3),torch.zeros(1,3))", "F.cosine_similarity(x,torch.ones(3),dim=-1,eps=1e-6)",
          "torch.nn.PairwiseDistance()(x[None],torch.ones(1,3))", "torch.nn.CosineSimilarity(dim=0)(x,torch.ones(3))",
          "torch.dist(x,torch.zeros(3),float('inf'))"):
    case(f, x=[0.5, -1.5, 2.0], policy="convention", tol=1e-09)
begin("NB")
case("x**(1/3)", x=[0.0, 8.0], policy="nonfinite", tol=1e-08)
case("x**torch.tensor(2.0)", x=[3.0, -2.0], policy="nonfinite", tol=1e-08)
case("1**x", x=[inf, 2.0], policy="nonfinite", tol=1e-08)
case("torch.float_power(2.0,x)", x=[3.0, 0.0], policy="nonfinite", tol=1e-08)
case("x.log1p()", x=[-1.0, 0.0], policy="nonfinite", tol=1e-08)
case("torch.xlogy(x,0.0)", x=[0.0, 1.0], policy="nonfinite", tol=1e-08)
for f in ("torch.special.exp2(x)", "torch.nan_to_num(x.log(),neginf=0.0)"):
    case(f, x=[0.0, 2.0], policy="nonfinite", tol=1e-08)
for f in ("torch.special.sinc(x)", "torch.special.softmax(x,0)"):
    case(f, x=[0.2, 1.5], policy="nonfinite", tol=1e-08)
case("torch.special.polygamma(1,x)", x=[3.2, 1.5], policy="nonfinite", tol=1e-08)
for f in ("torch.exp(-x**2)", "x.sin()"):
    case(f, x=[inf, 0.0], policy="nonfinite", tol=1e-08)
case("torch.arctan(x)", x=[0.0, -inf], policy="nonfinite", tol=1e-08)
case("x.arccos()*0", x=[1.0, 0.0], policy="nonfinite", tol=1e-08)
case("x.cosh()", x=[inf, -1.0], policy="nonfinite", tol=1e-08)
case("x.reciprocal()*x", x=[0.0, inf], policy="nonfinite", tol=1e-08)
case("x.div(x.abs())", x=[0.0, -2.0], policy="nonfinite", tol=1e-08)
for f in ("F.normalize(x,dim=0,eps=1e-3)", "x.norm(p=2)**2"):
    case(f, x=[0.0, 0.0], policy="nonfinite", tol=1e-08)
for f in ("x*1", "torch.lerp(x,x*2,0.7)"):
    case(f, x=[1.0, inf], policy="nonfinite", tol=1e-08)
case("x.prod(0)*0", x=[0.0, 0.0, 2.0], policy="nonfinite", tol=1e-08)
case("torch.std_mean(x,dim=0)[0]", x=[1.0, 4.0], policy="nonfinite", tol=1e-08)
case("x.nansum(0,keepdim=True)", x=[nan, 2.0], policy="nonfinite", tol=1e-08)
case("x.masked_fill(~torch.isfinite(x),0.)", x=[nan, 2.0, inf], policy="nonfinite", tol=1e-08)
case("x.softmax(0).log()", x=[0.0, 1000.0], policy="nonfinite", tol=1e-08)
case("torch.logsumexp(x,dim=(0,))", x=[nan, 0.0], policy="nonfinite", tol=1e-08)
case("x.logcumsumexp(dim=0)", x=[0.0, -inf, 1.0], policy="nonfinite", tol=1e-08)
case("x.clamp(min=0).sqrt()", x=[0.0, -1.0, 4.0], policy="nonfinite", tol=1e-08)
case("x.abs().sqrt()", x=[0.0, -4.0], policy="nonfinite", tol=1e-08)
case("torch.hypot(x,torch.tensor(inf))", x=[0.0, 3.0], policy="nonfinite", tol=1e-08)
for f in ("torch.fmin(x,torch.tensor(nan))", "torch.polygamma(0,x)"):
    case(f, x=[1.0, 2.0], policy="nonfinite", tol=1e-08)
case("x.remainder(inf)", x=[1.0, -1.0], policy="nonfinite", tol=1e-08)
case("x.logit(eps=0.2)", x=[0.1, 0.5], policy="nonfinite", tol=1e-08)
begin("NC")
for f in ("x[:,0]", "x[0,...]", "x[::2]", "x[0,1:]", "x[[1,0,1]]", "x[torch.tensor([0,1]),torch.tensor([1,1])]", "x[x!=x[0,0]].sum()",
          "x[1,torch.tensor([2,2])]", "x[0][1]", "x[:0].sum()+x.sum()", "x[torch.arange(2),torch.arange(2)]", "x.T[::2,1:]", "x.flatten()[1::2]",
          "x.sum(dim=-1)", "x.sum((0,),True)", "torch.sum(x,(0,1),keepdim=True)", "x.sum(0,dtype=torch.float64)", "torch.softmax(x,dim=-2)",
          "x.var((0,1),unbiased=False)", "torch.var(x,(1,))", "x.all(1)*x.sum(1)", "torch.count_nonzero(x,dim=0)*x", "x.cumsum(-1).flip(-1)",
          "x.argsort(-1)*x", "x.diff(prepend=torch.zeros(2,1))", "x.trace()", "x.diagonal(offset=-1,dim1=0,dim2=1)", "x.tril(diagonal=-1)",
          "torch.linalg.diagonal(x)", "x.view(3,2)", "x.view((3,-1))", "x.reshape((-1,3))", "torch.reshape(input=x,shape=(3,2))", "torch.flatten(x[None],1)",
          "torch.unflatten(x,1,(3,1))", "x[None].squeeze(0)", "x.squeeze(0)", "x.permute(-1,0)", "torch.movedim(x[None],(0,1),(2,0))", "x.adjoint()",
          "x.expand(size=(2,2,3))", "torch.broadcast_to(x,(1,2,3))", "x.repeat((1,2))", "x.tile((2,1))", "x.repeat_interleave(2,dim=1)", "x.flip(0)",
          "torch.flip(x,(0,))", "x.roll(1)", "torch.roll(x,shifts=-1,dims=1)", "torch.rot90(x,-1,(0,1))", "x.unfold(dimension=-1,size=2,step=1)",
          "x.as_strided((3,),(2,),1)", "x.chunk(2)[1]", "torch.chunk(x,2,-1)[1]", "x.split([1,2],dim=-1)[1]", "torch.tensor_split(x,2,dim=1)[1]",
          "x.hsplit(3)[1]", "x.vsplit(2)[0]", "x.unbind(dim=0)[1]", "torch.select(x,1,0)", "torch.index_select(input=x,dim=-1,index=torch.tensor([0]))",
          "torch.gather(x,0,torch.tensor([[0,1]]))", "x.masked_select(x>2)", "x.masked_fill(torch.tensor([True,False,True]),torch.tensor(3.))",
          "x.index_copy(1,torch.tensor([0]),x[:,1:2])", "x*1", "x.scatter(1,torch.tensor([[0],[0]]),value=2.0)",
          "x.index_put([torch.tensor([1,0]),torch.tensor([0,0])],x[:,2])", "torch.cat((x,x),1)", "torch.concat((x,x))", "torch.stack([x,x*2],dim=1)",
          "torch.vstack([x,x])", "torch.row_stack((x,x))", "torch.meshgrid([x[0],x[1]],indexing='ij')[1]", "F.pad(x,(1,1))", "F.pad(x,pad=(0,-1))",
          "F.pad(x[None,None],(1,1,1,1),mode='reflect')", "F.one_hot(torch.tensor([0,1]))*1.0@x", "torch.einsum('i...->...',x)"):
    case(f, x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]])
case("torch.addcdiv(x,y0,z,value=0.5)", x=[[1.0], [2.0]], y0=[3.0, 5.0], z=[1.0, 2.0], tol=1e-08)
for f in ("x.T@y0", "torch.linalg.vecdot(x,y0,dim=0)", "torch.tensordot(x,y0,dims=([0,1],[0,1]))"):
    case(f, x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], tol=1e-08)
for f in ("torch.matmul(x.unsqueeze(1),y0)", "x.bmm(y0)"):
    case(f, x=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], y0=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], tol=1e-08)
for f in ("torch.ger(x,y0)", "torch.vdot(x,y0)"):
    case(f, x=[1.0, 2.0], y0=[3.0, 4.0], tol=1e-08)
case("torch.linalg.matmul(x,y0)", x=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], y0=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], tol=1e-08)
case("x.addmm(y0,z)", x=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], y0=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], z=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], tol=1e-08)
case("torch.addmv(x,y0,z,beta=2,alpha=3)", x=[1.0, 2.0, 3.0], y0=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], z=[1.0, 0.0, 2.0], tol=1e-08)
case("torch.addbmm(x,y0,z,beta=2)", x=[[1.0, 2.0], [3.0, 4.0]], y0=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], z=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], tol=1e-08)
for f in ("torch.matrix_power(x,2)", "x.matrix_power(3)", "x.inverse()", "x.det()", "torch.linalg.cholesky(x@x.T+torch.eye(3))"):
    case(f, x=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], tol=1e-08)
case("torch.cdist(x[None],y0[None],p=3.0)", x=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], y0=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], tol=1e-08)
case("F.linear(input=x,weight=y0,bias=z)", x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]], z=[1.0, 2.0, 3.0], tol=1e-08)
case("torch.mean(x*y0,dim=0)", x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[[1.0], [2.0]], tol=1e-08)
case("torch.einsum('ij,j->i',x,y0)", x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[1.0, 2.0, 3.0])
case("torch.einsum('bij,kj->bik',x,y0)", x=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], y0=[[1.0, 2.0], [3.0, 4.0]])
for f in ("torch.einsum('ijk,ijk->',x,y0)", "torch.einsum('bqd,bkd->bqk',x,y0)"):
    case(f, x=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], y0=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]])
for f in ("torch.einsum('iji->j',x)", "torch.einsum('...ii->...',x)"):
    case(f, x=[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]])
for f in ("torch.einsum('ij,kl->ijkl',x,y0)", "torch.einsum('ij,ij->j',x,y0)"):
    case(f, x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]])
case("torch.einsum('i,->i',x,y0)", x=[1.0, 2.0], y0=3.0)
for f in ("torch.einsum('i,j,k->ijk',x,y0,z)", "torch.einsum('i,i,i->',x,y0,z)"):
    case(f, x=[1.0, 2.0], y0=[1.0, 3.0], z=[2.0, 3.0])
case("torch.einsum('i j , j k -> i k',x,y0)", x=[[1.0, 2.0, -3.0], [4.0, 5.5, 6.0]], y0=[[2.0, 1.0, 0.5], [0.3, 3.0, 1.0], [1.0, -0.2, 4.0]])
begin("ND")
for f in ("y=x.clone()\ny-=x", "y=x.clone()\ny/=2", "y=x*1", "y=x.clone().add_(1)", "y=(x*1).mul_(3).add_(x)", "y=(x*1).pow_(2)", "y=(x*1).sqrt_()",
          "y=(x*1).reciprocal_()", "y=(x*1).neg_()", "y=(x*1).log_()", "y=(x*1).expm1_()", "y=(x*1).cos_()", "y=(x*1).tanh_()", "y=(x*1).atan_()",
          "y=(x*1).sigmoid_()", "y=(x*1).clamp_(min=1.7)", "y=(x*1).clamp_min_(1.7)", "y=(x*1).floor_()+x", "y=(x*1).round_()+x", "y=(x*1).frac_()",
          "y=(x*1).fmod_(0.7)", "y=(x*1).lerp_(x*2,0.3)", "y=(x*1).addcdiv_(x,x+1,value=2)", "y=(x*1).fill_(x[0])", "y=(x*1).zero_()+x",
          "y=(x*1).index_copy_(0,torch.tensor([0]),x[1:]*2)", "y=(x*1).scatter_(0,torch.tensor([0]),x[1:]*2)", "y=(x*1).masked_scatter_(x>1.7,x*5)",
          "y=(x*1).cumprod_(0)", "y=torch.outer(x,x).triu_(1)", "y=torch.outer(x,x).transpose_(0,1)[0]", "y=(x*1).unsqueeze_(0).squeeze_()",
          "y=(x*1).hypot_(x)", "y=(x*1).addmv_(torch.eye(2),x)", "y=torch.eye(2).addr_(x,x)", "y=torch.ones(2).mul_(x).mul_(x)",
          "y=torch.zeros(2,2)\ny[0,:]=x\ny[1,1]=x[0]", "y=torch.zeros(2)\ny[:]=x", "y=torch.zeros(2)\ny[0]+=x[1]", "y=torch.zeros(4)\ny[[3,0]]=x",
          "y=torch.zeros(2,2)\ny[[0,1],[1,0]]=x", "y=torch.zeros(2,2)\ny[torch.eye(2)>0]=x", "y=x.clone()\ny[y>1.7]**=2", "y=x.clone()\ny[0]=y.sum()",
          "y=x.clone()\ny[0].add_(x[1])", "y=x.clone()\nv=y.unsqueeze(0)\nv[0,0]=x[1]\ny=y*2", "y=x.repeat(2,1)\ny.diagonal().fill_(0)",
          "y=x.repeat(2,1)\ny.diagonal().copy_(x*x)", "y=x*1", "y=x.repeat(2,1)\ny.select(0,1).mul_(2)", "y=x.repeat(2,1)\ny.permute(1,0)[1].zero_()",
          "y=x.repeat(2,2)\ny.flatten()[0]=9.\n", "y=x.repeat(3,1)\ny[1:].copy_(y[:-1].clone())", "a=x;a=a*2;b=x;y=a*b", "a=(x,x*2,x**3)\ny=a[1]*a[-1]",
          "y=[x*i for i in range(3)][2]", "y=0\nfor i in range(len(x)): y=y+x[i]**(i+1)", "y=0\nfor i,(a,b) in enumerate(zip(x,x*2)): y=y+i*a*b",
          "i=0;y=x\nwhile i<3:\n    y=y*x;i+=1", "y=x\nfor i in range(1,7,2): y=y+i*x", "n=3\ny=x\nfor i in range(n):\n    for j in range(i): y=y+x*j",
          "def f(a): return a,a*a\np,q=f(x)\ny=p*q", "y=(lambda z:z*z)(x)", "y=sum(map(lambda v:v*v,x))", "y=x*math.exp(1)+math.log(2.0)", "y=x*int(2.7)",
          "y=x*min(1,2)+max(3,4)", "y=x*(2**3//3%2)", "y=x*(5 if x.numel()>1 and x.dim()==1 else 1)", "y=x*x.size(-1)+x.shape[-1]",
          "y=x*x.nelement()*x.ndim", "y=x*float(x[0])", "y=x*x[0].item()**2", "y=x*len(x.shape)", "y=torch.tensor([x[0].item(),2.])*x",
          "y=x if bool((x>1).all()) else -x", "y=x*2 if (x>1.7).any() else x", "y=x if torch.allclose(x,x*1) else -x", "y=x if x.requires_grad else -x",
          "global_=2\ny=x*global_", "y=x.detach().clone().requires_grad_(False)*x", "y=x.clone().detach()*x+x",
          "with torch.no_grad():\n    a=x*2\n    a+=1\ny=a*x", "with torch.set_grad_enabled(False): a=x*x\ny=a+x", "y=x.new_tensor([1.,2.])*x",
          "y=torch.empty_like(x).fill_(2.)*x", "y=torch.zeros(x.shape)+x", "y=torch.ones(*x.shape)*x", "y=torch.full((2,),fill_value=2.)*x",
          "y=torch.arange(1,3)*x", "y=torch.arange(2,dtype=torch.float64)*x", "y=torch.linspace(0,1,steps=2)*x", "y=torch.eye(2)@x",
          "y=torch.tril(torch.ones(2,2))@x", "y=torch.tensor([1,2])*x", "y=torch.scalar_tensor(2.)*x", "y=x.float().double()*x",
          "y=x.to(dtype=torch.float64)", "y=x.cpu()", "y=x.long()*x", "y=x.bool()*x", "y=x.double()", "y=torch.detach(x)*x", "y=+x", "y=x*1",
          "y=x.mul(2).add(x,alpha=2)", "y=torch.add(input=x,other=x,alpha=2)", "y=torch.sub(x,1)", "y=torch.div(x,2)", "y=torch.multiply(x,x)",
          "y=torch.negative(x)", "y=torch.cumsum(x,dim=0)", "y=torch.square(x).add(x).sqrt()"):
    case(f, x=[1.5, 2.0], tol=1e-09)
begin("NE")
for f in ("g=torch.autograd.grad((x**3).sum(),x,create_graph=True)[0]\ny=(g*g).sum()",
          "g,=torch.autograd.grad((x**3).sum(),x,create_graph=True)\ny=g.norm()",
          "g=torch.autograd.grad(outputs=(x**3).sum(),inputs=x,create_graph=True)[0]\ny=g*x",
          "g=torch.autograd.grad(x.exp(),x,grad_outputs=torch.ones_like(x),create_graph=True)[0]\ny=g*x",
          "g=torch.autograd.grad([x.exp().sum(),(x*x).sum()],[x],create_graph=True)[0]\ny=g",
          "g=torch.autograd.grad((x**4).sum(),x,create_graph=True)[0]\nh=torch.autograd.grad(g.sum(),x,create_graph=True)[0]\nk=torch.autograd.grad(h.sum(),x,create_graph=True)[0]\ny=k*x",
          "v=torch.tensor([1.,-1.,2.])\ng=torch.autograd.grad((x**3).prod(),x,create_graph=True)[0]\ny=torch.autograd.grad((g*v).sum(),x,create_graph=True)[0]",
          "v=torch.tensor([1.,-1.,2.])\ng=torch.autograd.grad((x**3).prod(),x,create_graph=True)[0]\ny=torch.autograd.grad(g@v,x,create_graph=True)[0]",
          "v=torch.tensor([1.,-1.,2.])\ng=torch.autograd.grad((x**3).prod(),x,create_graph=True)[0]\ny=torch.autograd.grad(g,x,v,create_graph=True)[0]",
          "h=[torch.autograd.grad(torch.autograd.grad((x**3).prod(),x,create_graph=True)[0][i],x,create_graph=True)[0] for i in range(3)]\ny=torch.stack(h)",
          "g=torch.autograd.grad((x**3).prod(),x,create_graph=True)[0]\ny=torch.stack([torch.autograd.grad(g[i],x,create_graph=True)[0] for i in range(3)])",
          "g=torch.autograd.grad((x**3).prod(),x,create_graph=True)[0]\ny=sum(torch.autograd.grad(g[i],x,create_graph=True)[0][i] for i in range(3))",
          "y=x\nfor i in range(3): y=torch.autograd.grad((y**2*x).sum(),x,create_graph=True)[0]",
          "a=x*2\ng=torch.autograd.grad((a**3).sum(),a,create_graph=True)[0]\ny=g*x",
          "a=x*2\ng=torch.autograd.grad((a**3).sum(),[a,x],create_graph=True)\ny=g[0]*g[1]",
          "g=torch.autograd.grad((x**3).sum(),x,retain_graph=True)[0]\ny=g*x",
          "g=torch.autograd.grad((x**3).sum(),x,create_graph=True,retain_graph=True)[0].detach()\ny=g*x",
          "x2=x.detach().requires_grad_()\ng=torch.autograd.grad((x2**3).sum(),x2)[0]\ny=g*x",
          "g=torch.autograd.grad((x*2).sum(),x,create_graph=True)[0]\ny=g*x",
          "g=torch.autograd.grad(torch.tensor(2.)*x.sum(),x,create_graph=True,allow_unused=True)[0]\ny=g*x",
          "w=torch.ones(3,requires_grad=True)\ng=torch.autograd.grad((w*x).sum(),w,create_graph=True)[0]\ny=g**2",
          "w=torch.ones(3,requires_grad=True)\nl=((w*x-1)**2).sum()\ng,=torch.autograd.grad(l,[w],create_graph=True)\nw=w-0.1*g\ny=((w*x-1)**2).sum()",
          "w=torch.ones(3,requires_grad=True)\nfor _ in range(3):\n    l=((w*x-1)**2).sum()\n    g,=torch.autograd.grad(l,[w],create_graph=True)\n    w=w-0.1*g\ny=((w*x-1)**2).sum()",
          "def f(a): return (a**3).sum()\ny=torch.autograd.grad(f(x),x,create_graph=True)[0]",
          "def grad(a): return torch.autograd.grad((a**3).sum(),a,create_graph=True)[0]\ny=grad(x)*x",
          "f=lambda a:(a**3).sum()\ng=lambda a:torch.autograd.grad(f(a),a,create_graph=True)[0]\ny=g(x)*g(x)",
          "h=torch.zeros(3)\nfor t in range(3): h=torch.tanh(x*h+t)\ng=torch.autograd.grad(h.sum(),x,create_graph=True)[0]\ny=g*g",
          "g=torch.autograd.grad(x.relu().sum(),x,create_graph=True)[0]\ny=g*x",
          "p=torch.softmax(x,0)\ng=torch.autograd.grad(torch.log(p[0]),x,create_graph=True)[0]\ny=(g**2).sum()",
          "y0=x*x\nif y0.sum()>1:\n    g=torch.autograd.grad(y0.sum(),x,create_graph=True)[0]\nelse:\n    g=x\ny=g*x"):
    case(f, x=[0.6, -1.4, 2.1], tol=1e-08)
for f in ("gx,gy=torch.autograd.grad((x*x*y0).sum(),[x,y0],create_graph=True)\ny=gx*gy",
          "g=torch.autograd.grad((x**2*y0**3).sum(),y0,create_graph=True)[0]\ny=torch.autograd.grad(g.sum(),x,create_graph=True)[0]"):
    case(f, x=[1.0, 2.0], y0=[3.0, 4.0])
begin("NF")
case("torch.log1p(torch.exp(-x.abs()))", x=[1000.0, -1000.0, 1.0], policy="convention", tol=1e-07)
case("(1-torch.cos(x))/x**2", x=[0.001, 1.0], policy="convention", tol=1e-07)
case("x/x.norm()", x=[1e+160, 1e+160], policy="convention", tol=1e-05)
case("F.cross_entropy(x[None],torch.tensor([1]))", x=[1000.0, -1000.0, 0.0], policy="convention", tol=1e-07)
case("F.batch_norm(x[:,None],torch.zeros(1),torch.ones(1))", x=[1.0, 2.0, 4.0], policy="convention", tol=1e-07)
begin("NG")
for f in ("h=y0\nfor t in range(z.size(0)): h=torch.tanh(F.linear(h,x)+z[t])\ny=h", "h=y0\nfor xt in torch.unbind(z,dim=0): h=(x@h+xt).sigmoid()\ny=h",
          "h=y0\nfor xt in reversed(z.unbind()): h=torch.tanh(x@h+xt)\ny=h", "h=y0\nfor xt in z[::2]: h=torch.tanh(x@h+xt)\ny=h",
          "lengths=torch.tensor([2,3])\nh=y0\nfor t in range(3):\n    n=torch.tanh(x@h+z[t])\n    h=torch.where(t<lengths,n,h)\ny=h",
          "h=y0\nouts=torch.zeros(3,2)\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    outs[t]=h\ny=outs",
          "h=y0\ns=0\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    s=s+(h-z[t]).pow(2).sum()/(t+1)\ny=s",
          "h=y0\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    if (t+1)%2==0: h=h.detach()\ny=h",
          "def step(h,xt): return torch.tanh(x@h+xt)\nh=y0\nfor t in range(3): h=step(h,z[t])\ny=h",
          "h,c=y0,torch.zeros_like(y0)\nfor t in range(3):\n    g=x@h+z[t]\n    c=torch.sigmoid(g)*c+(1-torch.sigmoid(g))*torch.tanh(g)\n    h=torch.tanh(c)\ny=h+c",
          "h=y0\nmem=[]\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    mem.append(h)\n    a=torch.softmax(torch.stack(mem)@h,0)\n    h=a@torch.stack(mem)\ny=h",
          "h=y0\nfor t in range(3):\n    g=torch.sigmoid(x@torch.cat([h[:1],z[t][:1]]))\n    h=g*h+(1-g)*z[t]\ny=h",
          "h=y0\nfor t in range(3): h=F.layer_norm(x@h+z[t],(2,))*0.5+h\ny=h",
          "h=y0\nfor t in range(3): h=F.dropout(torch.tanh(x@h+z[t]),0.5,training=False)\ny=h",
          "h=y0\nfor t in range(3):\n    p=F.softmax(x@h,dim=-1)\n    h=p*z[t]+h.cumsum(0)*0.1\ny=h",
          "h=y0\nfor t in range(3):\n    k1=torch.tanh(x@h)\n    k2=torch.tanh(x@(h+0.05*k1))\n    h=h+0.1*k2\ny=h",
          "h=y0\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    if h[0]>0: h=h*2\ny=h", "h=y0\nfor t in range(50): h=torch.tanh(x@h+z[t%3])\ny=h",
          "h=y0[None]\nfor t in range(3): h=torch.tanh(torch.addmm(z[t],h,x.t()))\ny=h", "y=x@y0", "packed=torch.cat([z[0],z[1]])\ny=packed[:2]*(x@y0)"):
    case(f, x=[[0.5, -0.3], [0.2, 0.4]], y0=[0.3, -0.2], z=[[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]], tol=1e-09)
begin("NI")
for f in ("(x/x.sum()).prod()", "x.repeat_interleave(torch.tensor([0,2,1]))", "torch.stack(x.split(1)).squeeze(-1)*x", "x.unfold(0,2,1).sum(0)",
          "torch.diag(x)@x", "torch.trapezoid(x,torch.tensor([0.,1.,3.]))"):
    case(f, x=[1.0, 2.0, 3.0], policy="convention", tol=1e-09)
case("x.pow(2).sum(-1,keepdim=True).sqrt()*x", x=[3.0, 4.0], policy="convention", tol=1e-09)
for f in ("(x.view(-1,1)-x.view(1,-1)).abs().sum()", "x.max(0,keepdim=True)[0].expand(3)*x", "x.softmax(-1).max()"):
    case(f, x=[1.0, 2.0, 2.0], policy="convention", tol=1e-09)
for f in ("x*x.detach()-x.detach()*x", "x.sum()*torch.ones(2,2)", "x[:0].sum()+x.prod()", "x.new_zeros(0,2).sum(0)+x", "x*1"):
    case(f, x=[1.0, 2.0], policy="convention", tol=1e-09)
case("F.one_hot(x.argmax(),3)*x", x=[1.0, 3.0, 2.0], policy="convention", tol=1e-09)
case("torch.where(torch.tensor([True,False,True]),x,torch.zeros(3)).sum()", x=[1.0, nan, 2.0], policy="nonfinite", tol=1e-09)
case("x.square().mean(-1,keepdim=True).add(1e-5).rsqrt()*x", x=[1.0, -1.0, 2.0], policy="convention", tol=1e-09)
case("(x>x.mean()).double()@x", x=[1.0, 2.0, 4.0], policy="convention", tol=1e-09)
case("x.float().sum().double()*x", x=[0.5, 0.25], policy="convention", tol=1e-07)
case("x**torch.tensor([0,1,2])", x=[0.0, 0.0, 0.0], policy="nonfinite", tol=1e-09)
case("x.max()+x.amax()+torch.max(x,dim=0)[0]", x=[2.0, 2.0, 1.0], policy="convention", tol=1e-09)
case("F.softplus(x).log().exp()", x=[2.0, -2.0, 1.0], policy="convention", tol=1e-09)
case("torch.sqrt(F.relu(x)+1e-6)", x=[-1.0, 0.0, 1.0], policy="nonfinite", tol=1e-09)
case("torch.remainder(x,2*math.pi)", x=[7.0, -1.0], policy="convention", tol=1e-09)
case("x.erf().log1p()", x=[0.1, 1.0], policy="convention", tol=1e-09)
for f in ("x[x.nonzero(as_tuple=True)]**2", "x.index_select(0,(x>0).nonzero().flatten())"):
    case(f, x=[1.5, 0.0, 2.0], policy="nonfinite", tol=1e-09)
case("x.float_power(2).float()", x=[1.0, 2.0], policy="convention", tol=1e-07)
