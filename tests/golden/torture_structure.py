"""Corner cases of broadcasting, indexing, mutation, higher order, numerics, recurrences, and what others got wrong."""
from torture_harness import begin, case, inf, nan

# --- C: broadcasting, indexing, reductions ----------------------------------------------------------------------------------
begin("C")
m23 = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
m33 = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]]
t222 = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
for op in "+-*/":
    case(f"x{op}y0", 2.0, m23)
    case(f"x{op}y0", m23, [1.0, 2.0, 4.0])
    case(f"x{op}y0", [[1.0], [2.0]], [[1.0, 2.0, 4.0]])
    case(f"x{op}y0", [[[2.0]]], [3.0, 5.0])
case("torch.pow(x,y0)", [[1.0], [2.0]], [2.0, 3.0])
case("torch.maximum(x,y0)", [[1.0], [4.0]], [2.0, 3.0])
case("torch.where(x>1,x,y0)", [[1.0], [2.0]], [5.0, 6.0, 7.0])
case("x+y0+z", 1.0, [1.0, 2.0], [[1.0], [2.0]])
case("torch.atan2(x,y0)", [[1.0], [2.0]], [1.0, 3.0])
case("torch.lerp(x,y0,z)", [[1.0], [2.0]], [1.0, 3.0], 0.5)
case("x.expand(2,3)*torch.arange(6.).reshape(2,3)", [1.0, 2.0, 3.0])
case("x.expand(-1,4)", [[1.0], [2.0]], cotangent=[[1, 2, 3, 4], [5, 6, 7, 8]])
case("x.expand_as(torch.zeros(2,2))", [3.0], cotangent=[[1, 2], [3, 4]])
case("torch.broadcast_to(x,(2,2))", [3.0, 4.0], cotangent=[[1, 2], [3, 4]])
for how in ("", "0", "1", "-1", "(0,1)", "dim=0,keepdim=True", "dim=(1,),keepdim=True", "[0,1]"):
    for f in ("sum", "mean", "var", "std", "logsumexp", "norm", "prod"):
        if (f == "prod" and "(" in how + "[" and how and how != "0" and "1" not in how[:2]) or (f == "logsumexp" and not how):
            continue
        if f == "prod" and how not in ("", "0", "1", "-1", "dim=0,keepdim=True"):
            continue
        arg = how if f != "norm" or not how else "2," + how
        case(f"x.{f}({arg})", m23)
case("torch.sum(x,dim=1)/x.sum()", m23)
case("torch.mean(x,(0,2))", t222, cotangent=[1, 2])
case("x.sum(dim=(-1,-2),keepdim=True)*x", t222)
case("torch.any(x>2).double()*x.sum()+torch.all(x>0)*x.prod()", [1.0, 2.0, 3.0])
case("torch.count_nonzero(x)*x", [0.0, 2.0])
for f, w in {"x[0]": [1, 2, 3], "x[-1]": [1, 2, 3], "x[:,1]": [1, 2], "x[0,2]": 3, "x[:,::2]": [[1, 2], [3, 4]],
             "x[1:]": [[1, 2, 3]], "x[:,-2:]": [[1, 2], [3, 4]], "x[...,0]": [1, 2], "x[None]": [[[1, 2, 3], [4, 5, 6]]],
             "x[:,None,:]": [[[1, 2, 3]], [[4, 5, 6]]], "x[0,None]": [[1, 2, 3]], "x[:,1:1]": None, "x[:,:-1]": [[1, 2], [3, 4]],
             "x[...,1:,None]": [[[1], [2]], [[3], [4]]], "x[torch.tensor([0,0,1])]": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
             "x[[1,0]]": [[1, 2, 3], [4, 5, 6]], "x[:,torch.tensor([2,0])]": [[1, 2], [3, 4]], "x[:,[-1,-1]]": [[1, 2], [3, 4]],
             "x[torch.tensor([0,1]),torch.tensor([2,0])]": [1, 2], "x[torch.tensor([[0],[1]]),torch.tensor([[0,1]])]": [[1, 2], [3, 4]],
             "x[0,torch.tensor([0,0])]": [1, 2], "x[torch.tensor([1,1]),0]": [1, 2], "x[torch.tensor(1)]": [1, 2, 3],
             "x[torch.tensor([True,False])]": [[1, 2, 3]], "x[:,torch.tensor([True,False,True])]": [[1, 2], [3, 4]],
             "x[x>2.5]": [1, 2, 3, 4], "x[(x>1)&(x<6)]": [1, 2, 3, 4], "x[~(x>2)]": [1, 2], "x.t()[1:]": [[1, 2], [3, 4]],
             "x.T": [[1, 2], [3, 4], [5, 6]], "x.transpose(0,1)": [[1, 2], [3, 4], [5, 6]], "x.permute(1,0)": [[1, 2], [3, 4], [5, 6]],
             "torch.movedim(x,0,1)": [[1, 2], [3, 4], [5, 6]], "x.swapaxes(0,1)": [[1, 2], [3, 4], [5, 6]],
             "x.reshape(3,2)": [[1, 2], [3, 4], [5, 6]], "x.view(-1)": [1, 2, 3, 4, 5, 6], "x.flatten()": [1, 2, 3, 4, 5, 6],
             "torch.ravel(x)": [1, 2, 3, 4, 5, 6], "x.unsqueeze(1).squeeze(1)": [[1, 2, 3], [4, 5, 6]],
             "x.unflatten(1,(3,1))": [[[1], [2], [3]], [[4], [5], [6]]], "x.flip(1)": [[1, 2, 3], [4, 5, 6]],
             "torch.flip(x,(0,1))": [[1, 2, 3], [4, 5, 6]], "torch.fliplr(x)": [[1, 2, 3], [4, 5, 6]],
             "torch.flipud(x)": [[1, 2, 3], [4, 5, 6]], "torch.rot90(x)": [[1, 2], [3, 4], [5, 6]],
             "torch.rot90(x,2)": [[1, 2, 3], [4, 5, 6]], "torch.roll(x,1)": [[1, 2, 3], [4, 5, 6]],
             "torch.roll(x,1,1)": [[1, 2, 3], [4, 5, 6]], "x.roll((1,-1),(0,1))": [[1, 2, 3], [4, 5, 6]],
             "x.repeat(2,1)": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]], "torch.tile(x,(1,2))": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]],
             "x.tile(2)": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], "x.repeat_interleave(2,dim=0)": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]],
             "torch.repeat_interleave(x,2)": list(range(12)), "x.repeat_interleave(torch.tensor([1,2]),dim=0)": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
             "x.narrow(1,1,2)": [[1, 2], [3, 4]], "x.select(1,-1)": [1, 2], "x.unbind(1)[2]": [1, 2], "x.chunk(2,dim=1)[0]": [[1, 2], [3, 4]],
             "torch.split(x,[1,2],dim=1)[1]": [[1, 2], [3, 4]], "x.split(2,1)[1]": [[1], [2]], "torch.tensor_split(x,2,dim=1)[0]": [[1, 2], [3, 4]],
             "x.unfold(1,2,1)": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "torch.tril(x)": [[1, 2, 3], [4, 5, 6]],
             "x.triu(1)": [[1, 2, 3], [4, 5, 6]], "torch.tril(x,-1)": [[1, 2, 3], [4, 5, 6]], "torch.diagonal(x)": [1, 2],
             "x.diagonal(1)": [1, 2], "torch.diag(x,1)": [1, 2], "torch.diff(x)": [[1, 2], [3, 4]], "torch.diff(x,dim=0)": [[1, 2, 3]],
             "torch.cumsum(x,1)": [[1, 2, 3], [4, 5, 6]], "x.cumsum(0)": [[1, 2, 3], [4, 5, 6]], "x.cumprod(1)": [[1, 2, 3], [4, 5, 6]],
             "torch.logcumsumexp(x,1)": [[1, 2, 3], [4, 5, 6]], "torch.trapz(x)": [1, 2], "torch.cumulative_trapezoid(x)": [[1, 2], [3, 4]],
             "torch.index_select(x,1,torch.tensor([2,2,0]))": [[1, 2, 3], [4, 5, 6]], "x.take(torch.tensor([0,5,5]))": [1, 2, 3],
             "torch.gather(x,1,torch.tensor([[0,0],[2,1]]))": [[1, 2], [3, 4]], "x.gather(0,torch.tensor([[1,0,1]]))": [[1, 2, 3]],
             "torch.gather(x,1,torch.tensor([[2]]))": [[5]], "torch.take_along_dim(x,torch.tensor([[0],[2]]),1)": [[1], [2]],
             "x.masked_fill(x>3,0)": [[1, 2, 3], [4, 5, 6]], "torch.masked_select(x,x>2)": [1, 2, 3, 4],
             "F.pad(x,(1,2))": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], "F.pad(x,(0,0,1,0),value=3.0)": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
             "F.pad(x,(-1,1))": [[1, 2, 3], [4, 5, 6]], "F.pad(x[None],(1,1),mode='replicate')[0]": [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]],
             "F.pad(x[None],(2,1),mode='reflect')[0]": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]],
             "F.pad(x[None],(1,1),mode='circular')[0]": [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]],
             "torch.stack([x,x*2],dim=2)[...,1]": [[1, 2, 3], [4, 5, 6]], "torch.hstack([x,x])": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]],
             "torch.vstack((x,x[0]))": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "torch.cat((x,x.flip(0)),dim=-1)": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]],
             "torch.column_stack([x[:,0],x[:,1]])": [[1, 2], [3, 4]], "torch.block_diag(x[:,:1],x[:1])": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3]],
             "torch.kron(x,torch.tensor([[1.,2.]]))": [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]],
             "torch.as_strided(x,(2,2),(1,1))": [[1, 2], [3, 4]], "torch.index_fill(x,1,torch.tensor([0]),9.0)": [[1, 2, 3], [4, 5, 6]],
             "x.index_copy(0,torch.tensor([1]),x[:1]*2)": [[1, 2, 3], [4, 5, 6]],
             "x.index_add(1,torch.tensor([0,0]),x[:,1:])": [[1, 2, 3], [4, 5, 6]],
             "x.index_add(0,torch.tensor([0]),x[1:],alpha=2)": [[1, 2, 3], [4, 5, 6]],
             "x.scatter(1,torch.tensor([[0],[2]]),7.0)": [[1, 2, 3], [4, 5, 6]],
             "x.scatter(1,torch.tensor([[2],[0]]),x[:,:1])": [[1, 2, 3], [4, 5, 6]],
             "torch.scatter_add(x,1,torch.tensor([[0,0],[2,1]]),x[:,1:])": [[1, 2, 3], [4, 5, 6]],
             "x.index_put((torch.tensor([0,1]),torch.tensor([2,0])),torch.tensor([1.,2.]))": [[1, 2, 3], [4, 5, 6]],
             "x.index_put((torch.tensor([0,0]),torch.tensor([2,2])),x[:,0],accumulate=True)": [[1, 2, 3], [4, 5, 6]],
             "x.masked_scatter(x>4,torch.tensor([8.,9.]))": [[1, 2, 3], [4, 5, 6]],
             "x.contiguous().view(2,3)": [[1, 2, 3], [4, 5, 6]], "x.squeeze()": [[1, 2, 3], [4, 5, 6]],
             "x.view_as(torch.zeros(6))": [1, 2, 3, 4, 5, 6]}.items():
    case(f, m23, cotangent=w)
case("torch.zeros(4).scatter(0,torch.tensor([1,3]),x)", [1.0, 2.0], cotangent=[1, 2, 3, 4])
case("torch.zeros(4).scatter_add(0,torch.tensor([1,1,3]),x)", [1.0, 2.0, 3.0], cotangent=[1, 2, 3, 4])
case("torch.zeros(3).index_put((torch.tensor([0,0,2]),),x,accumulate=True)", [1.0, 2.0, 3.0], cotangent=[1, 2, 3])
case("y=torch.zeros(3)\ny[torch.tensor([0,2])]=x", [1.0, 2.0], cotangent=[1, 2, 3])
case("y=x.clone()\ny[y>1]=0.0", [1.0, 2.0, 0.5], cotangent=[1, 2, 3])
case("y=x.clone()\ny[y>1]*=3", [1.0, 2.0, 0.5], cotangent=[1, 2, 3])
case("y=x*1\ny[::2]+=1", [1.0, 2.0, 3.0])
case("y=x*1\ny[1:]=y[:-1].clone()", [1.0, 2.0, 3.0], cotangent=[1, 2, 3])
case("y=torch.zeros(2,2)\ny[:,0]=x\ny[1]=x*x", [3.0, 4.0], cotangent=[[1, 2], [3, 4]])
case("F.embedding(torch.tensor([0,2,0]),x)", m33, cotangent=m33)
case("F.embedding(torch.tensor([[0,2],[1,1]]),x,padding_idx=0)", m33)
case("F.one_hot(torch.tensor([0,2]),3).double()@x", m33)
case("x.diag()", m33, cotangent=[1, 2, 3])
case("torch.diag(x)", [1.0, 2.0], cotangent=[[1, 2], [3, 4]])
case("torch.diag_embed(x,1)", [1.0, 2.0], cotangent=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
case("torch.trace(x@x)", m33, orders=(2,))
case("torch.matmul(x,y0)", m23, m33)
case("x@y0", m23, [1.0, 2.0, 3.0])
case("x@y0", [1.0, 2.0], m23)
case("torch.matmul(x,y0)", t222, [[1.0, 2.0], [3.0, 5.0]])
case("torch.matmul(x,y0)", [[1.0, 2.0], [3.0, 5.0]], t222)
case("torch.matmul(x,y0)", t222, [1.0, 2.0])
case("torch.matmul(x[None],y0[:,None])", t222, t222)
case("torch.bmm(x,y0)", t222, t222, cotangent=[[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
case("torch.baddbmm(x,y0,z,beta=0.5,alpha=2)", t222, t222, t222)
case("torch.addbmm(x,y0,z)", [[1.0, 2.0], [3.0, 5.0]], t222, t222)
case("torch.addmm(x,y0,z)", [1.0, 2.0, 3.0], [[1.0, 2.0]], m23)
case("torch.addmm(x,y0,z,beta=0.0,alpha=3.0)", [1.0, 2.0, 3.0], [[1.0, 2.0]], m23)
case("torch.addmv(x,y0,z)", [1.0, 2.0], m23, [1.0, 2.0, 3.0])
case("torch.addr(x,y0,z)", m23, [1.0, 2.0], [1.0, 2.0, 3.0])
case("x.mm(y0)", m23, m33)
case("x.mv(y0)", m23, [1.0, 2.0, 3.0])
case("torch.dot(x,y0)", [1.0, 2.0], [3.0, 4.0])
case("x.dot(x)", [1.0, 2.0], orders=(2,))
case("torch.inner(x,y0)", m23, m23)
case("torch.outer(x,y0)", [1.0, 2.0], [3.0, 4.0, 5.0], cotangent=m23)
case("torch.outer(x,x)", [1.0, 2.0], cotangent=[[1, 2], [3, 4]])
case("torch.tensordot(x,y0,dims=1)", m23, m33)
case("torch.tensordot(x,y0,dims=([1],[1]))", m23, m23)
case("torch.tensordot(x,y0,2)", t222, [[1.0, 2.0], [3.0, 5.0]])
case("torch.linalg.multi_dot([x,y0,z])", m23, m33, [[1.0], [2.0], [3.0]])
case("torch.cross(x,y0,dim=0)", [1.0, 2.0, 3.0], [4.0, 5.0, 7.0], cotangent=[1, 2, 3])
case("F.linear(x,y0,z)", m23, [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], [1.0, 2.0])
case("F.bilinear(x,y0,z)", [[1.0, 2.0]], [[3.0, 4.0]], t222)
case("F.conv1d(x,y0,z)", [[[1.0, 2.0, 3.0, 4.0, 5.0]]], [[[1.0, 0.5, -1.0]], [[2.0, 0.0, 1.0]]], [0.5, 1.0], cotangent=[[[1, 2, 3], [4, 5, 6]]])
case("F.conv1d(x,y0,stride=2,padding=1)", [[[1.0, 2.0, 3.0, 4.0, 5.0]]], [[[1.0, 0.5, -1.0]]], cotangent=[[[1, 2, 3]]])
case("F.conv1d(x,y0,dilation=2)", [[[1.0, 2.0, 3.0, 4.0, 5.0]]], [[[1.0, 0.5]]])
case("F.conv1d(x,y0,groups=2)", [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], [[[1.0, 0.5]], [[2.0, 1.0]]])
case("F.avg_pool1d(x,2)", [[[1.0, 2.0, 3.0, 4.0, 5.0]]])
case("F.max_pool1d(x,2,stride=1)", [[[1.0, 2.0, 2.0, 4.0, 3.0]]], policy="convention")
for eq, shapes in {"ij,jk->ik": (m23, m33), "ij,kj->ik": (m23, m23), "ij->ji": (m23,), "ij->": (m23,), "ij->j": (m23,), "ii": (m33,),
                   "ii->i": (m33,), "i,i->": ([1.0, 2.0], [3.0, 4.0]), "i,j->ij": ([1.0, 2.0], [3.0, 4.0]), "bij,bjk->bik": (t222, t222),
                   "bij,bij->b": (t222, t222), "ij,ij->ij": (m23, m23), "bii->b": (t222,), "ij,jk": (m23, m33), "ijk->kij": (t222,),
                   "i,ij,j->": ([1.0, 2.0], m23, [1.0, 2.0, 3.0]), "bij,j->bi": (t222, [1.0, 2.0])}.items():
    names = ("x", "y0", "z")[:len(shapes)]
    case(f'torch.einsum("{eq}",{",".join(names)})', *shapes)
case('torch.einsum("ij,ij->",x,x)', m23, orders=(2,))
case('torch.einsum("...ij,...jk->...ik",x,y0)', t222, t222)
case("torch.linalg.det(x)", m33, orders=(2,), tol=1e-9)
case("torch.det(x)", [[1.0, 2.0], [2.0, 5.0]])
case("torch.inverse(x)", m33, tol=1e-8)
case("torch.linalg.solve(x,y0)", m33, [1.0, 2.0, 3.0], tol=1e-8)
case("torch.slogdet(x)[1]", m33, tol=1e-9)
case("torch.matrix_power(x,3)", [[1.0, 2.0], [3.0, 4.0]])
case("torch.linalg.cholesky(x)", [[4.0, 1.0], [1.0, 3.0]])
case("x.clone().T.reshape(-1)[::2]", m23, cotangent=[1, 2, 3])
case("torch.meshgrid(x,y0,indexing='ij')[0]*torch.meshgrid(x,y0,indexing='ij')[1]", [1.0, 2.0], [3.0, 4.0, 5.0])
case("x.reshape(2,1,3).expand(2,4,3).sum((0,1))", m23, cotangent=[1, 2, 3])
case("sum(x[i]*(i+1) for i in range(3))", [1.0, 2.0, 3.0])
case("a,b=x\ny=a*b", m23)
case("torch.stack([r.sum() for r in x])", m23, cotangent=[1, 2])
case("x.new_ones(2)*x+x.new_zeros(2)", [1.0, 2.0])
case("torch.full_like(x,2.0)*x+torch.ones_like(x)-torch.zeros_like(x)", [1.0, 2.0])
case("torch.linspace(0,1,3)*x+torch.eye(3)[0]", [1.0, 2.0, 3.0])
case("x.type_as(x)*x.to(torch.float64)", [1.0, 2.0])
case("x.numel()*x.mean()+x.shape[0]*x.sum()+x.size(1)+x.dim()+len(x)", m23)

# --- D: structure, aliasing, mutation -------------------------------------------------------------------------------------
begin("D")
for f in ("y=x\ny=y*y\ny=y*y", "y=x+x+x", "y=x*x-x*x", "a=x*2\nb=a+a\ny=a*b", "y=(x*2).detach()*x", "y=x.detach()*x+x", "y=x.data*x",
          "with torch.no_grad():\n    k=x*3\ny=k*x", "y=torch.zeros(2)\nfor i in range(3):\n    y=y+x**i",
          "y=x\nfor i in range(20): y=torch.sin(y)", "a=b=x*1\na+=1\ny=a*b", "a=x.clone()\nb=a\nb.mul_(2)\ny=a+b",
          "a=x*1\nb=a[:1]\nb.add_(5)\ny=a*a", "a=x*1\nv=a.view(-1)\nv[0]=7\ny=a", "a=x.clone()\na[0]=a[1]\na[1]=a[0]*2\ny=a",
          "a=x.clone()\na.zero_()\ny=a+x", "a=x.clone()\na.fill_(3.0)\ny=a*x", "a=x.clone()\na.copy_(x*x)\ny=a",
          "a=x.clone()\na.mul_(x)\na.sub_(x)\na.div_(2)\ny=a", "a=x.clone()\na.neg_()\na.exp_()\ny=a", "y=x.clone()\ny.clamp_(0,2)",
          "y=x.clone()\ny.pow_(3)", "y=x.clone()\ny.sigmoid_()", "y=x.clone()\ny.tanh_()\ny=y*1", "y=(x*1).relu_()",
          "y=x.clone()\ny.masked_fill_(x>1,0.0)", "y=x.clone()\ny.index_add_(0,torch.tensor([0,0]),x)",
          "y=x.clone()\ny.scatter_(0,torch.tensor([1]),x[:1])", "y=x.clone().unsqueeze_(0)", "y=(x*1).addcmul_(x,x,value=2)",
          "y=(x*1).lerp_(torch.zeros(2),0.5)", "y=(x*1).add_(x,alpha=3)", "y=torch.add(x,x,alpha=-2)", "y=torch.sub(x,x,alpha=3)",
          "y=torch.rsub(x,1.0)", "a=[x,x*2]\na.append(x*3)\ny=a[0]*a[-1]", "f=lambda t: t*t\ny=f(f(x))",
          "def f(t,k=2):\n    return t*k\ny=f(x)+f(x,3)", "def f(t,n):\n    if n==0: return t\n    return f(t*x,n-1)\ny=f(x,2)",
          "y=x if x.sum().item()>0 else -x", "if x[0]>0:\n    y=x*2\nelse:\n    y=x*3", "if x[0]<0:\n    y=x*2\nelif x[1]>1:\n    y=x*5\nelse:\n    y=x",
          "y=x\nwhile y.sum()<50:\n    y=y*2", "y=x\nwhile True:\n    y=y*2\n    if y.sum()>50: break", "y=0\nfor i in range(5):\n    if i%2==0: continue\n    y=y+x*i",
          "y=torch.zeros(2)\nfor i,v in enumerate([x,x*x]): y=y+v*i", "y=torch.stack([a*b for a,b in zip(x,x.flip(0))])",
          "y=sum([x,x*2,x*3])", "a,(b,c)=x,(x*2,x*3)\ny=a*b*c", "y=x*x.item() if x.numel()==1 else x*x[0].item()", "y=x.mul(x).add(1).sub(x).div(2)",
          "y=torch.cat([x,x.detach()])*torch.cat([x,x])", "y=x.expand(3,2)[1]*x", "a=x*2;b=a.t() if a.dim()==2 else a;y=b*a", "y=x**2;y=y**2;y=y**0.5",
          "y=torch.stack([x]*3).prod(0)", "a=x*x\ny=a\ndel a", "y=(x.sum()*torch.ones(2)).cumsum(0)", "y=x.repeat(1000).sum()", "y=x\nfor i in range(200): y=y*1.01+x*0.001",
          "y=x.clone()\nfor i in range(2): y[i]=y[i].clone()*y[1-i].clone()", "y=x.view(1,2).expand(2,2).clone()\ny[0]*=2", "y=x.unbind()[0]*x.unbind()[1]", "y=x.clone()\ny.swapaxes(0,0).mul_(2)",
          "a=x.clone().requires_grad_()\ny=a*x", "m=x*x\nm.retain_grad()\ny=m.detach()*m", "y=x.reshape(1,2)\ny=y.t()@y", "y=-x+(+x)*2", "y=x.T@x if x.dim()==2 else x@x",
          "a=x*1\na[...]=a*2\ny=a", "a=x*1\na[None,0]=9.0\ny=a*x", "a=torch.zeros(2,2)\na[0]=x\na[:,1]=x*2\na.t()[0].add_(1)\ny=a*a", "y=(x>0).float().double()*x", "y=x.double().float().double()"):
    case(f, [1.5, 2.0])
for f in ("y=torch.sin(x)\ny.add_(1)", "y=torch.tanh(x)\ny.mul_(2)", "a=x.exp()\nb=a*2\na.add_(1)\ny=a*b", "a=x*1\nb=torch.sin(a)\na.mul_(2)\ny=b*a", "a=x*1\nb=a[0]\na.mul_(3)\ny=b*a"):
    case(f, [0.5, 1.0], policy="error-or-functional")
case("x*y0", [1.0], [2.0, 3.0], cotangent=[5, 7])
case("y=y0*2", [1.0], [2.0])
case("y=torch.zeros(2)", [1.0])
case("x*0+y0", [1.0], [2.0])
case("(x,y0)[1]*2", [1.0], [2.0])
case("x*x.sum()*y0.mean()", [1.0, 2.0], [[3.0], [5.0]])

# --- E: higher order --------------------------------------------------------------------------------------------------------
begin("E")
for f, at in {"x**4": [0.0, 2.0], "x**5": [0.0, -1.0], "x**2.5": [1.0, 4.0], "x**-2": [2.0, -1.0], "x*x*x": [0.0, 2.0], "torch.exp(x)": [0.0, 1.0],
              "torch.exp(-x*x)": [0.0, 1.0], "torch.sigmoid(x)": [0.0, 2.0, -3.0], "torch.cos(x)": [0.0, 1.0], "torch.tan(x)": [0.0, 0.5],
              "torch.asin(x)": [0.0, 0.5], "torch.acos(x)": [0.0, 0.5], "torch.atan(x)": [0.0, 1.0], "torch.sinh(x)": [0.0, 1.0], "torch.cosh(x)": [0.0, 1.0],
              "torch.asinh(x)": [0.0, 1.0], "torch.acosh(x)": [2.0], "torch.atanh(x)": [0.0, 0.5], "torch.log1p(x)": [0.0, 1.0], "torch.expm1(x)": [0.0, 1.0],
              "torch.log2(x)": [1.0, 4.0], "torch.rsqrt(x)": [1.0, 4.0], "torch.reciprocal(x)": [1.0, -2.0], "torch.lgamma(x)": [1.0, 2.5], "torch.digamma(x)": [1.0, 2.5],
              "F.silu(x)": [0.0, 1.0, -2.0], "F.gelu(x)": [0.0, 2.0], "F.softplus(x)": [0.0, -1.0], "F.logsigmoid(x)": [0.0, 3.0],
              "F.softsign(x)": [1.0, -2.0], "F.mish(x)": [1.0, -1.0], "F.elu(x)": [-1.0, 2.0], "F.selu(x)": [-1.0, 2.0], "torch.square(x)": [0.0, 3.0],
              "torch.erf(x)": [0.0, 1.0], "torch.erfc(x)": [0.5], "torch.sinc(x)": [0.5, 1.25], "torch.logit(x)": [0.25, 0.5], "x*torch.log(x)": [1.0, 2.0], "torch.xlogy(x,x)": [1.0, 2.0],
              "torch.pow(2.0,x)": [0.0, 1.0], "x**x": [0.5, 2.0], "torch.exp2(x)": [0.0, 2.0], "1/(1+x*x)": [0.0, 1.0], "torch.sin(x)/x": [1.0, 2.0],
              "torch.sqrt(1+x*x)": [0.0, 1.0], "torch.tanh(x)*torch.sigmoid(x)": [0.0, 1.0], "torch.sin(torch.sin(x))": [0.0, 1.0], "torch.exp(torch.sin(x))": [0.0, 1.0],
              "torch.abs(x)**3": [-2.0, 0.0, 1.0], "torch.relu(x)**3": [-1.0, 0.0, 2.0], "torch.where(x>0,x**3,x**2)": [-1.0, 2.0], "torch.clamp(x,0.,1.)**2": [-1.0, 0.5, 2.0],
              "torch.atan2(x,torch.ones(2))": [0.0, 1.0], "torch.hypot(x,torch.ones(2))": [0.0, 2.0], "torch.logaddexp(x,torch.zeros(2))": [0.0, 1.0]}.items():
    case(f, at, orders=(2, 3) if "mish" not in f and "logaddexp" not in f else (2,), tol=1e-9)
for f in ("torch.logsumexp(x,0)", "torch.softmax(x,0)*torch.tensor([1.,2.,3.])", "F.log_softmax(x,0)*torch.tensor([1.,2.,3.])", "torch.var(x)", "torch.std(x)", "torch.prod(x)",
          "torch.cumprod(x,0)", "torch.cumsum(x,0)**2", "torch.linalg.vector_norm(x)", "torch.linalg.vector_norm(x,3)", "torch.linalg.vector_norm(x,ord=1)**2", "F.normalize(x,dim=0)*torch.tensor([1.,2.,3.])",
          "torch.outer(x,x).sum()**2", "x@x*x", "(x*x).mean()*x", "torch.max(x)*x", "torch.sort(x).values*x", "torch.stack([x,x**2]).prod(0)", "x[[0,0,1]]**3", "torch.einsum('i,i,i->',x,x,x)",
          "F.mse_loss(x,torch.zeros(3))*x", "F.layer_norm(x,(3,))*torch.tensor([1.,2.,3.])", "F.cross_entropy(x,torch.tensor(2))", "F.binary_cross_entropy_with_logits(x,torch.ones(3))",
          "torch.logcumsumexp(x,0)", "F.cosine_similarity(x,torch.tensor([1.,2.,0.]),dim=0)", "x.roll(1)*x*x", "torch.tril(torch.outer(x,x)).sum()*x"):
    case(f, [0.5, -1.5, 2.0], orders=(2,), tol=1e-9)
case("torch.prod(x)", [0.0, 2.0, 3.0], orders=(2,))
case("torch.prod(x)", [0.0, 0.0, 3.0], orders=(2, 3), name="prod-of-two-zeros")
case("torch.cumprod(x,0)", [0.0, 2.0, 3.0], orders=(2,))
case("torch.sqrt(x)", [0.0, 1.0], orders=(2,), policy="nonfinite")
case("x**1.5", [0.0, 1.0], orders=(2,), policy="nonfinite")
case("x**2", [0.0, 1.0], orders=(2, 3))
case("x**1", [0.0, 1.0], orders=(2,))
case("torch.pow(x,y0)", [0.0, 2.0], [3.0, 3.0], orders=(2,))
case("torch.linalg.vector_norm(x)", [0.0, 0.0], orders=(2,), policy="nonfinite", name="norm-at-zero-second-order")
case("x*y0*x", [1.0, 2.0], [3.0, 4.0], orders=(2,))
case("torch.sin(x*y0)", [1.0], [2.0], orders=(2, 3))
case("g=torch.autograd.grad((x**3).sum(),x,create_graph=True)[0]\ny=g*x", [1.0, 2.0])
case("g,=torch.autograd.grad((x*x*y0).sum(),[x],create_graph=True)\ny=g*y0", [1.0, 2.0], [3.0, 4.0])
case("g,h=torch.autograd.grad((x*x*y0).sum(),(x,y0),create_graph=True)\ny=g*h", [1.0, 2.0], [3.0, 4.0])
case("g=torch.autograd.grad(x*x,x,grad_outputs=y0,create_graph=True)[0]\ny=g*g", [1.0, 2.0], [3.0, 4.0])
case("g=torch.autograd.grad(torch.sin(x).sum(),x,create_graph=True)[0]\nh=torch.autograd.grad(g.sum(),x,create_graph=True)[0]\ny=h*x", [0.5, 1.0])
case("g=torch.autograd.grad((x**3).sum(),x)[0]\ny=g*x", [1.0, 2.0])
case("v=torch.ones(2)\ng=torch.autograd.grad(torch.tanh(x),x,v,create_graph=True)[0]\ny=g.sum()*x", [0.5, 1.0])
case("g=torch.autograd.grad(F.softplus(x@y0),x,create_graph=True)[0]\ny=(g**2).sum()", [0.5, 1.0], [1.0, -2.0])

# --- F: numerics ------------------------------------------------------------------------------------------------------------
begin("F")
for f, at in {"torch.softmax(x,0)": [1e5, -1e5, 0.0], "F.log_softmax(x,0)": [1e4, 0.0, -1e4], "torch.log1p(x)": [1e-300, -1e-10],
              "torch.expm1(x)": [1e-300, -1e-10, 700.0], "torch.sigmoid(x)": [-745.0, 40.0, -40.0], "torch.tanh(x)": [1e-300, 20.0, -20.0], "F.softplus(x)": [-745.0, 40.0, 19.0, 21.0],
              "F.logsigmoid(x)": [-745.0, 40.0], "torch.var(x)": [1e8, 1e8 + 1, 1e8 + 2], "torch.std(x)": [1e8, 1e8 + 1, 1e8 + 2], "torch.linalg.vector_norm(x)": [3e100, 4e100],
              "torch.hypot(x,x)": [1e300, 1e-300], "x.mean()": [1e308, 1e308 / 2, -1e308], "torch.cumsum(x,0)": [1e16, 1.0, -1e16], "torch.sin(x)": [1e6, -1e5],
              "torch.cos(x)": [1e6, 10.0], "torch.exp(x)": [709.0, -745.0], "torch.log(x)": [1e-300, 1e308], "torch.sqrt(x)": [1e-300, 1e300], "x**10": [1e-20, 1e20], "torch.erf(x)": [1e-300, 5.0],
              "torch.erfc(x)": [5.0, -5.0, 10.0], "torch.atan(x)": [1e300, 1e-300], "torch.asinh(x)": [1e300, 1e-300], "torch.acosh(x)": [1e300, 1.0000001], "torch.atanh(x)": [1e-300, 0.9999999],
              "torch.lgamma(x)": [1e-5, 1e5, 171.0], "torch.digamma(x)": [1e-3, 1e5], "F.layer_norm(x,(3,))": [1e6, 1e6 + 1, 1e6 + 2], "F.layer_norm(x,(3,),eps=1e-12)": [1.0, 1.5, 1.25],
              "F.normalize(x,dim=0)": [1e-20, 0.0], "torch.logcumsumexp(x,0)": [-1e4, 0.0, 1e4], "F.gelu(x)": [-10.0, 10.0, -5.0], "torch.logaddexp(x,-x)": [1e4, 1e-10], "torch.remainder(x,0.1)": [1.0, 0.3],
              "1-torch.exp(x)": [1e-12, -1e-12], "torch.sin(x)/x": [1e-8, 1e-160], "torch.sinc(x)": [1e-3, 100.5]}.items():
    case(f, at, tol=1e-9 if max(map(abs, at)) < 1e7 else 1e-6)
case("F.layer_norm(x,(2,2))", t222, cotangent=t222)
case("F.layer_norm(x,(3,),y0,z)", m23, [1.0, 2.0, 0.5], [0.0, 1.0, 2.0], cotangent=m23)
case("F.group_norm(x,2)", [[1.0, 2.0, 3.0, 5.0]], cotangent=[[1, 2, 3, 4]])
case("F.group_norm(x,2,y0,z)", [[[1.0, 2.0], [3.0, 5.0]]], [2.0, 3.0], [0.0, 1.0], cotangent=[[[1, 2], [3, 4]]])
case("F.instance_norm(x)", [[[1.0, 2.0, 4.0], [3.0, 5.0, 4.0]]], cotangent=[[[1, 2, 3], [3, 4, 5]]])
case("F.batch_norm(x,None,None,training=True)", m33, cotangent=m33, tol=1e-9)
case("x/torch.sqrt(x.pow(2).mean(-1,keepdim=True)+1e-6)", m23, cotangent=m23)
case("F.cosine_similarity(x,y0,dim=0)", [1e-5, 1e-5], [1e5, 2e5])

# --- G: recurrences ---------------------------------------------------------------------------------------------------------
begin("G")
w = [[0.5, -0.3], [0.2, 0.4]]
xs3 = [[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]]
case("h=y0\nfor t in range(3): h=torch.tanh(x@h+z[t])\ny=h", w, [0.1, -0.2], xs3, orders=(2,))
case("h=y0\nfor t in range(3): h=torch.relu(x@h+z[t])\ny=h", w, [0.1, -0.2], xs3)
case("h=y0\nhs=[]\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    hs.append(h)\ny=torch.stack(hs)", w, [0.1, -0.2], xs3, cotangent=xs3)
case("h=y0\nfor xt in z: h=torch.tanh(x@h+xt)\ny=h.sum()", w, [0.1, -0.2], xs3)
case("h=y0\nfor t in range(3): h=(x@h+z[t]).detach()+h*0.5\ny=h", w, [0.1, -0.2], xs3)
case("h=y0\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    if t%2==1: h=h.detach()\ny=h", w, [0.1, -0.2], xs3)
case("h=y0\nfor t in reversed(range(3)): h=torch.tanh(x@h+z[t])\ny=h", w, [0.1, -0.2], xs3)
case("h=y0\nfor t in range(2,-1,-1): h=torch.tanh(x@h+z[t])\ny=h", w, [0.1, -0.2], xs3)
case("h=x\nfor t in range(10): h=h*h\ny=h", [1.01, 0.9])
case("h=x\nfor t in range(100): h=3.7*h*(1-h)\ny=h", [0.3], tol=1)
case("h=x\nfor t in range(20): h=3.2*h*(1-h)\ny=h", [0.3], tol=1e-9)
case("h=x\nfor t in range(2000): h=0.5*h\ny=h", [1.0])
case("h=x\nfor t in range(1100): h=2.0*h\ny=h", [1.0], policy="nonfinite")
case("c=torch.zeros(2)\nfor t in range(3):\n    f=torch.sigmoid(z[t]*y0)\n    c=f*c+(1-f)*x\ny=c", [1.0, 2.0], [0.5, -0.5], xs3)
case("h=torch.zeros(2)\nfor t in range(3):\n    h=torch.where(torch.tensor(t<2),torch.tanh(h+z[t]*x),h)\ny=h", [1.0, 2.0], z=xs3)
case("h=y0;o=[]\nfor t in range(3):\n    h=torch.tanh(x@h+z[t]);o.append(h*(t+1))\ny=sum(o)", w, [0.1, -0.2], xs3)
gates = [[0.1 * i - 0.35, 0.3 - 0.07 * i] for i in range(8)]
case("h,c=torch.lstm_cell(z,(y0,y0*2),x,x*0.5)\ny=h*c", gates, [[0.1, -0.2]], [[0.5, 1.0]])
case("h=y0\nc=torch.zeros(1,2)\nfor t in range(3): h,c=torch.lstm_cell(z[t:t+1],(h,c),x,x*0.5)\ny=h", gates, [[0.1, -0.2]], xs3)
case("torch.gru_cell(z,y0,x[:6],x[2:],torch.arange(6.)*0.1,torch.ones(6)*0.1)", gates, [[0.1, -0.2]], [[0.5, 1.0]])
case("h=y0\nfor t in range(3): h=torch.gru_cell(z[t:t+1],h,x[:6],x[2:])\ny=h", gates, [[0.1, -0.2]], xs3)
case("torch.rnn_tanh_cell(z,y0,x[:2],x[2:4])", gates, [[0.1, -0.2]], [[0.5, 1.0]])
case("torch.rnn_relu_cell(z,y0,x[:2],x[2:4])", gates, [[0.1, -0.2]], [[0.5, 1.0]])
case("h=torch.zeros(1)\nfor t in range(4): h=torch.tanh(x*h+z[t])*(1.0 if t<3 else 0.0)+h*(0.0 if t<3 else 1.0)\ny=h", [0.5], z=[0.1, 0.2, 0.3, nan], policy="nonfinite")
case("h=x\nfor t in range(3):\n    i,f,g,o=(y0*h+z[t]).chunk(4)\n    h=torch.cat([torch.sigmoid(i)*torch.tanh(g)+f*0.1,o*0.5,g,i])\ny=h", [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3])
case("h=torch.zeros(2,2)\nfor t in range(3): h=F.layer_norm(h+z[t].outer(x),(2,))\ny=h", [1.0, 3.0], z=xs3, cotangent=[[1, 2], [3, 5]])
case("a=torch.softmax(z@x,0)\ny=a@z", [1.0, -1.0], z=xs3, cotangent=[1, 2])
case("h=x.cumsum(0)\ny=torch.tanh(h).cumprod(0)", [0.1, 0.2, 0.3])
case("h=y0\nh=torch.utils.checkpoint.checkpoint(lambda t: torch.tanh(x@t),h,use_reentrant=False)\ny=h", w, [0.1, -0.2])
case("h=y0\ntot=0\nfor t in range(3):\n    h=torch.tanh(x@h+z[t])\n    tot=tot+F.mse_loss(h,z[t].flip(0))\ny=tot/3", w, [0.1, -0.2], xs3, orders=(2,))
case("h=y0\nfor t in range(3):\n    n=torch.tanh(x@h+z[t])\n    h=h+torch.clamp(n-h,-0.1,0.1)\ny=h", w, [0.1, -0.2], xs3)
case("y=F.conv1d(F.pad(z.t()[None],(2,0)),x)", [[[1.0, 2.0, 3.0], [0.5, 1.0, 1.5]]], z=xs3)
case("h=y0\nfor t in range(3): h=torch.sigmoid(x@h)*h+torch.sin(z[t])\ny=h.norm()", w, [0.1, -0.2], xs3)
case("b=torch.zeros(2);f=torch.zeros(2)\nfor t in range(3): f=torch.tanh(x*f+z[t]);b=torch.tanh(x*b+z[2-t])\ny=torch.cat([f,b])", [0.5, -0.5], z=xs3, cotangent=[1, 2, 3, 4])

# --- I: what other systems got wrong -----------------------------------------------------------------------------------------
begin("I")
case("x.sum()+y0.sum()*0", [1.0], [2.0])
case("(x*x).sum()/x.sum()", [1.0, 2.0])
case("x.max()+x.mean()", [1.0, 5.0, 2.0])
case("torch.max(x,1,keepdim=True)[0]+x", m23)
case("x-x.logsumexp(0)", [1.0, 2.0], cotangent=[1, 0])
case("F.softmax(x,1)[0,0]+F.softmax(x,0)[0,0]", m23)
case("torch.where(x.isnan(),torch.zeros(2),x)*2", [nan, 1.0])
case("torch.log(x.clamp(min=1e-8))", [0.0, 1.0])
case("torch.sqrt(x.clamp(min=0))", [4.0, 1.0])
case("torch.sqrt(torch.relu(x)+1e-8)", [-1.0, 0.0, 1.0], policy="convention")
case("torch.acos(x.clamp(-1+1e-7,1-1e-7))", [1.0, -1.0, 0.5], tol=1e-9)
case("x.norm()+torch.tensor(0.)*x.sum()", [3.0, 4.0])
case("(x-x.mean()).norm()", [2.0, 2.0], policy="nonfinite")
case("(x-y0).norm(dim=1).sum()", [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [0.0, 0.0]], policy="nonfinite")
case("torch.cdist(x,x).sum()", [[0.0, 0.0], [3.0, 4.0]], policy="nonfinite", name="cdist-with-itself")
case("x.std(0)/x.mean(0)", [[1.0, 2.0], [1.0, 4.0]], policy="nonfinite")
case("torch.prod(x,1).sum()*x", [[0.0, 2.0], [3.0, 4.0]])
case("x.unsqueeze(0).repeat(3,1).mean(0)", [1.0, 2.0])
case("x.expand(2,2).t().reshape(-1)", [1.0, 2.0], cotangent=[1, 2, 3, 4])
case("torch.einsum('ij,ij->i',x,x)", m23)
case("torch.einsum('ii->',x)", m33)
case("x[:,0]*x[:,0].detach()", m23)
case("y=x.clone()\ny[:,0]=y[:,1]\ny=y*y", m23)
case("y=x.clone()\ny[0],y[1]=y[1].clone(),y[0].clone()", [1.0, 2.0], cotangent=[1, 2])
case("torch.cat([x[:1],x[1:]])", [1.0, 2.0, 3.0], cotangent=[1, 2, 3])
case("torch.stack([x[0],x[0],x[1]])", [1.0, 2.0], cotangent=[1, 2, 4])
case("(x**2).sum(0,keepdim=True).expand(2,3)", m23)
case("x.sum(0).sum(0)*x.sum()", m23)
case("x.mean(dim=0,keepdim=True)-x.mean(dim=1,keepdim=True)", m23, cotangent=m23)
case("torch.floor(x)*y0+x", [1.5], [2.0])
case("(x>y0).double()*x+(x<=y0).double()*y0", [1.0, 3.0], [2.0, 2.0])
case("x.abs().max()", [-3.0, 3.0, 1.0], policy="convention")
case("torch.linalg.norm(x,ord=inf)", [3.0, -3.0], policy="convention")
case("x.pow(2).sum(1).sqrt().sum()", [[3.0, 4.0], [0.0, 0.0]], policy="nonfinite")
case("torch.pow(torch.tensor(2.),x).sum()+torch.pow(x,2.).sum()", [0.0, 3.0])
case("x**torch.tensor(2)+x**torch.tensor(3.)", [0.0, -2.0], policy="nonfinite", name="pow-tensor-exponent")
case("torch.pow(x,torch.tensor([0.,1.,2.]))", [0.0, 0.0, 0.0], policy="nonfinite")
case("x.view(2,1).matmul(x.view(1,2)).diagonal().sum()", [1.0, 2.0])
case("(x@x.t()).inverse().trace()", [[1.0, 2.0], [0.5, 3.0]], tol=1e-9)
case("torch.gather(F.log_softmax(x,1),1,torch.tensor([[0],[2]])).sum()", m23)
case("x.flip(0).cumsum(0).flip(0)", [1.0, 2.0, 3.0], cotangent=[1, 2, 4])
case("F.embedding(torch.tensor([1,1,1]),x).sum()", [[1.0], [2.0]])
case("y=torch.zeros(3)\ny.index_add_(0,torch.tensor([0,0,1]),x)\ny=y**2", [1.0, 2.0, 3.0])
case("y=torch.zeros(2,3).scatter_(1,torch.tensor([[0],[2]]),x)", [[1.0], [2.0]], cotangent=m23)
case("torch.zeros(3,2).index_put((torch.tensor([0,0]),),x,accumulate=True)", [[1.0, 2.0], [3.0, 4.0]], cotangent=[[1, 2], [3, 4], [5, 6]])
case("torch.addmm(x,y0,y0)", [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [0.0, 1.0]])
case("x.transpose(0,1).contiguous().view(-1).prod()", [[1.0, 0.0], [2.0, 3.0]])
case("x.softmax(-1).log()", [0.0, -800.0], policy="nonfinite")
case("torch.sigmoid(x).log()+(1-torch.sigmoid(x)).log()", [0.0, 30.0], tol=1e-3)
case("x.sum().sqrt()", [0.0, 0.0], policy="nonfinite")
case("torch.tanh(x).atanh()", [0.5, 3.0], tol=1e-9)
case("(1/x).clamp(max=10)", [0.0, 2.0], policy="nonfinite")
case("torch.where(x>0,1/x,torch.zeros(2))", [0.0, 2.0], policy="nonfinite")
case("torch.nan_to_num(x/x)", [0.0, 2.0], policy="nonfinite")
case("x.masked_fill(x==0,1.0).log().masked_fill(x==0,0.0)", [0.0, 2.0])
case("torch.logsumexp(torch.stack([x,x]),0)", [-inf, 1.0], policy="nonfinite")
case("x.reshape(-1,1).expand(-1,3).reshape(3,-1).sum(1)", [1.0, 2.0], cotangent=[1, 2, 4])
case("x.max(0)[0].max(0)[0]", m23)
case("torch.min(torch.max(x,y0),z)", [0.0, 5.0], [1.0, 1.0], [3.0, 3.0])
case("x.round().detach()+x-x.detach()", [1.4, 2.6])
case("(x.round()-x).detach()+x", [1.4, 2.6])
case("torch.heaviside(x,torch.tensor(0.5)).detach()*x", [-1.0, 0.0, 2.0])
