// Trees in files: the safetensors format (https://github.com/huggingface/safetensors, "Format").
//
//   8 bytes   length n of the header, little-endian
//   n bytes   JSON: {"cell.w": {"dtype": "F32", "shape": [64, 128], "data_offsets": [begin, end]}, …, "__metadata__": {…}}
//   the rest  the numbers, row-major, little-endian
//
// Names are those of the tree's fields, joined by dots.
#pragma once

#include <map>
#include <string>

#include "ad/trace.h"

namespace tapeloop {

using Metadata = std::map<std::string, std::string>;

namespace detail {
void save_leaves(const std::string& path, const std::vector<std::string>& names, const Tensors& leaves,
                 const Metadata& metadata, const Where& where);
Tensors load_leaves(const std::string& path, const std::vector<std::string>& names, const std::vector<Type>& types,
                    Metadata* metadata, const Where& where);
}  // namespace detail

// Writes the concrete tensors of a tree, and any text beside them. Whoever reads `path`, at any time and after a crash,
// finds the old file or the whole new one: it is written under another name in the same folder, flushed, and renamed.
// Throws Error naming the path when that fails; the old file is then untouched.
template <class Tree>
void save(const std::string& path, const Tree& tree, const Metadata& metadata = {}, Where where = Where::current()) {
  detail::save_leaves(path, names_of(tree), leaves_of(tree), metadata, where);
}

// Reads what save() wrote: a tree like `like`, whose static leaves, names, shapes and dtypes it has. The file must hold
// exactly these tensors. Throws Error naming the path and the tensor when one is missing, unknown or given twice, has
// another dtype or shape, or when the file is damaged in any way.
template <class Tree>
Tree load(const std::string& path, const Tree& like, Metadata* metadata = nullptr, Where where = Where::current()) {
  return with_leaves(like, detail::load_leaves(path, names_of(like), types_of(leaves_of(like)), metadata, where));
}

}  // namespace tapeloop
