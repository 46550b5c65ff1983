vim.opt.number = false
